#!/usr/bin/env bash
# Lighthouse's marks for accessibility, best practices and SEO on the main pages: 95 or more each.
#   tests/lighthouse.sh    from the repository's root, after `cargo build` and with target/node filled, as ./test does
set -euo pipefail
purser=$PWD/target/debug/purser
folder=$(mktemp -d)
server=
trap '[ -z "$server" ] || kill "$server" 2>/dev/null || true; rm -rf "$folder"' EXIT
cp -r config "$folder/config"
cd "$folder"
coproc SERVER {
    exec env PURSER__DATABASE__URL="sqlite://$folder/purser.db" PURSER__SERVER__SECRET_FILE="$folder/secret" \
        PURSER__SERVER__PORT=0 "$purser" serve 2>"$folder/log"
}
server=$SERVER_PID
url=
while [ -z "$url" ] && read -r line <&"${SERVER[0]}"; do
    case "$line" in *"listening on http"*) url=${line##*listening on } ;; esac
done
[ -n "$url" ] || { cat "$folder/log"; exit 1; }
url=${url%/}
cd - >/dev/null

curl -sf --noproxy '*' -o /dev/null -c "$folder/jar" -d person=ada@fabrikam.example "$url/sign-in"
cookie="purser=$(awk '$6 == "purser" { print $7 }' "$folder/jar")"
offer=ms.vss-testmanager-web
word=$(curl -sf --noproxy '*' -H "Cookie: $cookie" "$url/marketplace/$offer" | grep -o 'name="csrf" value="[^"]*' | head -n 1 | cut -d '"' -f 4)
checkout=$(curl -sf --noproxy '*' -o /dev/null -w '%header{location}' -H "Cookie: $cookie" "$url/checkouts" \
    -d "csrf=$word&offer=$offer&organization=fabrikam&quantity=5")

printf '{"Cookie":"%s"}' "$cookie" >"$folder/signed-in.json"
echo '{}' >"$folder/nobody.json"
bad=0
for page in /sign-in /marketplace "/marketplace/$offer" "$checkout" /organizations/fabrikam; do
    who=signed-in
    [ "$page" != /sign-in ] || who=nobody
    CHROME_PATH=${CHROME_PATH:-/usr/bin/chromium} target/node/node_modules/.bin/lighthouse "$url$page" --quiet \
        --only-categories=accessibility,best-practices,seo --extra-headers="$folder/$who.json" \
        --output=json --output-path="$folder/report.json" \
        --chrome-flags="--headless=new --no-sandbox --disable-gpu --disable-dev-shm-usage --no-proxy-server"
    node - "$folder/report.json" "$page" <<'JS' || bad=1
const report = require(process.argv[2]);
const marks = Object.values(report.categories).map((one) => [one.title, Math.round(one.score * 100), one]);
console.log(process.argv[3], marks.map(([title, mark]) => `${title} ${mark}`).join(", "));
for (const [, mark, one] of marks.filter(([, mark]) => mark < 95))
  for (const { id } of one.auditRefs.filter(({ id, weight }) => weight && report.audits[id].score !== null && report.audits[id].score < 1))
    console.log(`  ${id}: ${report.audits[id].title}`);
if (report.runtimeError) console.log(report.runtimeError.message);
process.exit(report.runtimeError || marks.some(([, mark]) => mark < 95) ? 1 : 0);
JS
done
exit "$bad"
