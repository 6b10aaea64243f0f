"""Lists the versions of a runtime with the client that openapi-python-client generated, and prints their names."""

import os

from kre_client import AuthenticatedClient
from kre_client.api.versions import list_versions

client = AuthenticatedClient(base_url=os.environ["KRE_URL"], token=os.environ["KRE_TOKEN"])
page = list_versions.sync(runtime=os.environ["KRE_RUNTIME"], client=client)
for version in page.versions:
    print(version.name, version.state)
