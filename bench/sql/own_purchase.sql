\set number random(1, :orgs)
\set sample random(1, 5)
\set units random(1, 20)
\set k random(1, 9000000000000000000)
SELECT bench_purchase(:number, :sample, :units, 'k' || :k);
