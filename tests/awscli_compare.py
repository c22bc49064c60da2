"""Judges buckets with the AWS CLI's own validator and compares with what keytrail said.

In: a JSON file with scenes: objects with metadata, public keys, the trails, and keytrail's rows of files. Out: every
difference that is not one of the known limits below, and exit code 1; a known limit that does not show is a fault, too.
S3 and CloudTrail are faked in this process: nothing is sent anywhere.
"""

import base64
import io
import json
import sys
from argparse import Namespace

from awscli.customizations.cloudtrail import validation
from botocore.exceptions import ClientError

# What aws-cli says of one object, in one word, by the text of its message.
WORDS = {
    "valid": "valid",
    "INVALID: not found": "missing",
    "INVALID: has been moved from its original location": "moved",
    "INVALID: invalid format": "format",
    "INVALID: signature verification failed": "signature",
    "INVALID: hash value doesn't match": "modified",
    "INVALID: unexpected data after end of compressed stream": "trailing",
}
# What keytrail says of one file, in one word, by the first of its codes that is here.
CODES = [
    ("DIGEST_MOVED", "moved"),
    ("DIGEST_INVALID", "format"),
    ("DIGEST_MISSING", "missing"),
    ("LOG_MISSING", "missing"),
    ("SIGNATURE_INVALID", "signature"),
    ("PUBLIC_KEY_MISSING", "key"),
    ("TRAILING_DATA", "trailing"),
    ("CORRUPT", "corrupt"),
    ("LOG_MODIFIED", "modified"),
    ("LOG_UNLISTED", "unlisted"),
    ("LOG_NOT_COVERED", "not covered"),
    ("LOG_MOVED", "moved"),
]
# Known limits of the AWS tool, by scene: (kind, what aws-cli says, what keytrail says). docs/DECISIONS.md explains them.
SILENT = "nothing"
UNLISTED = ("log", SILENT, "unlisted")
NOT_COVERED = ("log", SILENT, "not covered")
KNOWN = {
    # A torn stream inflates to its tear, and only the hash shows it.
    "log torn": {("log", "modified", "corrupt")},
    # Files that no digest lists are not looked at.
    "log planted": {UNLISTED},
    # Of a run of deleted digests one is reported; what the others listed is not looked at.
    "digest deleted": {UNLISTED},
    "two digests deleted": {UNLISTED},
    "four digests deleted": {UNLISTED},
    "newest digest deleted": {NOT_COVERED},
    "oldest digests deleted": {NOT_COVERED},
    # The logs of a digest that did not validate are not looked at.
    "digest edited": {("log", SILENT, "UNVERIFIABLE")},
    "digests swapped": {("log", SILENT, "valid")},
    "wrong keys": {("log", SILENT, "CONSISTENT")},
    # A digest is inflated up to the end of its first member, whatever follows.
    "digest with a second member": {("digest", "valid", "trailing"), ("log", "valid", "unlisted")},
    # A digest under another name is found missing where it was, and not met where it is.
    "digest renamed": {("digest", SILENT, "moved"), ("log", SILENT, "valid")},
}
if not hasattr(validation.CloudTrailValidateLogs, "_on_log_trailing_data"):
    # Versions before 1.46 take a log for valid when anything follows its first member.
    KNOWN["log with a second member"] = {("log", "valid", "trailing")}


class Listing:
    def __init__(self, keys):
        self.keys = keys

    def search(self, expression):
        assert expression == "Contents[*].Key", expression
        return iter(self.keys)


class FakeS3:
    """An S3 client over a dictionary."""

    def __init__(self, bucket, objects):
        self.bucket, self.objects = bucket, objects

    def get_paginator(self, operation):
        assert operation == "list_objects", operation
        return self

    def paginate(self, Bucket, Marker, Prefix):
        keys = self.objects if Bucket == self.bucket else {}
        return Listing(sorted(key for key in keys if key > Marker and key.startswith(Prefix)))

    def get_object(self, Bucket, Key):
        found = self.objects.get(Key) if Bucket == self.bucket else None
        if found is None:
            raise ClientError({"Error": {"Code": "NoSuchKey", "Message": "no such key"}}, "GetObject")
        return {"Body": io.BytesIO(base64.b64decode(found["body"])), "Metadata": found["metadata"]}

    def get_client(self, bucket):
        return self


class FakeCloudTrail:
    def __init__(self, keys):
        self.keys = keys

    def list_public_keys(self, StartTime, EndTime):
        return self.keys


class FakeOrganizations:
    def __init__(self, organization):
        self.organization = organization

    def describe_organization(self):
        return {"Organization": {"Id": self.organization}}


class Validator(validation.CloudTrailValidateLogs):
    """The command, with its clients faked and its messages collected."""

    def __init__(self, scene):
        super().__init__(session=None)
        self.scene, self.messages = scene, []

    def setup_services(self, parsed_globals):
        self._source_region = parsed_globals.region
        self.s3_client_provider = FakeS3(self.scene["bucket"], self.scene["objects"])
        self.cloudtrail_client = FakeCloudTrail(self.scene["keys"])
        self.organization_client = FakeOrganizations("")

    def _write_status(self, message, is_error=False):
        self.messages.append(message)


def aws(scene):
    """Kind and key to a word."""
    said = {}
    for trail in scene["trails"]:
        validator = Validator(scene)
        arguments = Namespace(
            trail_arn=f"arn:aws:cloudtrail:{trail['home']}:{trail['account']}:trail/{trail['name']}",
            verbose=True, s3_bucket=scene["bucket"], s3_prefix=trail["prefix"] or None, account_id=trail["account"],
            start_time=scene["start"], end_time=scene["end"],
        )
        stdout, sys.stdout = sys.stdout, io.StringIO()
        try:
            validator._run_main(arguments, Namespace(region=trail["region"], verify_ssl=None, endpoint_url=None))
        finally:
            sys.stdout = stdout
        for message in validator.messages:
            parts = message.replace("(backfill) ", "").split("\t")
            if len(parts) != 3:
                assert parts[0].startswith("No log files were delivered"), message
                continue
            kind, place, status = parts[0].split()[0].lower(), parts[1].split("/", 3)[3], parts[2]
            word = "key" if status.startswith("INVALID: public key not found") else WORDS.get(status, status)
            said[kind, place] = word
    return said


def keytrail(scene):
    said = {}
    for row in scene["files"]:
        codes = (row["codes"] or "").split(",")
        word = next((word for code, word in CODES if code in codes), None)
        if word is None:
            word = "valid" if row["verdict"] == "VERIFIED" else row["verdict"]
        said[row["kind"], row["path"] or row["s3_key"]] = word
    return said


def main():
    with open(sys.argv[1]) as file:
        scenes = json.load(file)
    faults, agreed = [], 0
    for scene in scenes:
        theirs, ours = aws(scene), keytrail(scene)
        differences = set()
        for place in sorted(theirs.keys() | ours.keys()):
            their, our = theirs.get(place, SILENT), ours.get(place, SILENT)
            if their == our:
                agreed += 1
            else:
                differences.add((place[0], their, our))
        known = KNOWN.get(scene["name"], set())
        for kind, their, our in sorted(differences - known):
            faults.append(f"{scene['name']}: {kind}: aws-cli says {their}, keytrail says {our}")
        for kind, their, our in sorted(known - differences):
            faults.append(f"{scene['name']}: {kind}: no longer a difference: aws-cli {their}, keytrail {our}")
    print("\n".join(faults) or f"{len(scenes)} scenes, {agreed} objects judged alike")
    return 1 if faults or not agreed else 0


sys.exit(main())
