// Package proto carries what is generated from the contracts and is not Go: the description of the REST API. The
// generated Go code is in gen/go.
package proto

import "embed"

// OpenAPI holds an OpenAPI 3.1 document for each service of kre.admin.v1 that has a REST rendering, as it is generated.
//
//go:embed gen/openapi/kre/admin/v1/*.openapi.json
var OpenAPI embed.FS
