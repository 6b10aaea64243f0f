package httpapi

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/konstellation-io/kre/proto"
)

// object is a piece of JSON.
type object = map[string]any

const aboutAPI = `Runtimes hold versions; a version is uploaded, configured, started and published; the published one answers ` +
	`at its runtime's stable address.

Every call needs the administrator's token in the header ` + "`Authorization: Bearer …`" + `: ` + "`kre up`" + ` leaves it ` +
	`where the command ` + "`kre`" + ` finds it.

An error is a google.rpc.Status; among its details, an ErrorInfo of the domain ` + "`kre.konstellation.io`" + ` tells the ` +
	`reason, for programs, and a BadRequest names the fields that are wrong. A stream is one JSON object per line; one that ` +
	`fails ends with a line that holds ` + "`error`" + `, which is such a Status.`

// document merges the generated descriptions into one OpenAPI document, with the names that people know: `{runtime}` and
// `{version}` in paths, `Version` in place of `kre.admin.v1.Version`. It adds what the contracts cannot express: the token,
// and the upload.
func document() ([]byte, error) {
	names, err := fs.Glob(proto.OpenAPI, "gen/openapi/kre/admin/v1/*.openapi.json")
	if err != nil {
		return nil, err
	}
	paths, schemas := object{}, object{}
	var tags []any
	for _, name := range names {
		text, err := fs.ReadFile(proto.OpenAPI, name)
		if err != nil {
			return nil, err
		}
		var part struct {
			Paths      map[string]map[string]object
			Components struct{ Schemas object }
			Tags       []any
		}
		if err := json.Unmarshal(text, &part); err != nil {
			return nil, fmt.Errorf("read %s: %w", name, err)
		}
		for path, operations := range part.Paths {
			merge(paths, path, operations)
		}
		maps.Copy(schemas, part.Components.Schemas)
		for _, tag := range part.Tags {
			tag.(object)["name"] = group(tag.(object)["name"].(string))
			tags = append(tags, tag)
		}
	}
	// A generator of clients makes a type of each alternative; that at most one is there is in the description.
	delete(schemas["kre.admin.v1.WatchRuntimeResponse"].(object), "oneOf")
	paths["/v1/runtimes/{runtime}/versions"].(object)["post"] = upload()
	whole, err := json.Marshal(object{
		"openapi":  "3.1.0",
		"info":     object{"title": "KRE", "version": "v1", "description": aboutAPI},
		"tags":     tags,
		"servers":  []any{object{"url": "/"}},
		"security": []any{object{"bearer": []any{}}},
		"paths":    paths,
		"components": object{
			"schemas":         schemas,
			"securitySchemes": object{"bearer": object{"type": "http", "scheme": "bearer"}},
		},
	})
	if err != nil {
		return nil, err
	}
	return shorten(whole, slices.Collect(maps.Keys(schemas))), nil
}

var (
	inPath      = regexp.MustCompile(`\{[^}]+\}`)
	descriptors = map[string]string{"runtime": "Name of the runtime.", "version": "Name of the version, mapped."}
)

// merge adds the operations of a path, its parts being named after the collection they are in.
func merge(paths object, path string, operations map[string]object) {
	known := map[string]string{} // names in the path: as generated, as people know them
	segments := strings.Split(path, "/")
	for i, segment := range segments {
		if old := inPath.FindString(segment); old != "" {
			name := strings.TrimSuffix(segments[i-1], "s")
			known[strings.Trim(old, "{}")] = name
			segments[i] = strings.Replace(segment, old, "{"+name+"}", 1)
		}
	}
	path = strings.Join(segments, "/")
	for method, operation := range operations {
		operation["operationId"] = strings.SplitN(operation["operationId"].(string), "_", 2)[1]
		operation["tags"] = []any{group(operation["tags"].([]any)[0].(string))}
		parameters, _ := operation["parameters"].([]any)
		for _, parameter := range parameters {
			parameter := parameter.(object)
			if parameter["in"] == "path" {
				name := known[parameter["name"].(string)]
				parameter["name"], parameter["description"] = name, descriptors[name]
			}
		}
		answers(operation)
		if _, there := paths[path]; !there {
			paths[path] = object{}
		}
		paths[path].(object)[method] = operation
	}
}

// answers says what a generated operation cannot: what an empty answer means, and that a stream is lines.
func answers(operation object) {
	responses := operation["responses"].(object)
	responses["default"].(object)["description"] = "An error."
	good := responses["200"].(object)
	content := good["content"].(object)
	if content["application/json"].(object)["schema"].(object)["$ref"] == nil {
		good["description"] = "Done."
	}
	switch operation["operationId"] {
	case "WatchRuntime", "TailLogs":
		good["description"] = fmt.Sprint(good["description"], " One such object per line.")
		content[lines] = content["application/json"]
		delete(content, "application/json")
	}
}

func group(service string) string { return strings.TrimSuffix(service, "Service") + "s" }

// shorten leaves the packages and dots out of the names of schemas.
func shorten(document []byte, schemas []string) []byte {
	slices.SortFunc(schemas, func(a, b string) int { return len(b) - len(a) }) // a nested one before what holds it
	text := string(document)
	for _, name := range schemas {
		short := strings.TrimPrefix(strings.TrimPrefix(name, "kre.admin.v1."), "google.rpc.")
		text = strings.ReplaceAll(text, `"`+name+`"`, `"`+strings.ReplaceAll(short, ".", "")+`"`)
		text = strings.ReplaceAll(text, `/`+name+`"`, `/`+strings.ReplaceAll(short, ".", "")+`"`)
	}
	return []byte(text)
}

// upload describes UploadVersion, which is a stream of messages over gRPC and one body over REST.
func upload() object {
	file := object{"type": "string", "format": "binary", "description": "The `.krt` file."}
	answer := func(description, schema string) object {
		return object{"description": description, "content": object{
			"application/json": object{"schema": object{"$ref": "#/components/schemas/" + schema}}}}
	}
	return object{
		"tags":        []any{"Versions"},
		"operationId": "UploadVersion",
		"summary": "UploadVersion stores a package as a new version. It is refused as early as can be: a wrong manifest, or a name " +
			"in use, before the rest has arrived. Nothing is left of a refused or interrupted one. `ALREADY_EXISTS`: the name is in " +
			"use; the ErrorInfo tells `digest`, `state` and `create_time` of what is there.",
		"parameters": []any{
			object{"name": "runtime", "in": "path", "required": true, "description": descriptors["runtime"], "schema": object{"type": "string"}},
			object{"name": "comment", "in": "query", "description": "Why, for the list of activities. At most 1,000 characters.",
				"schema": object{"type": "string"}},
		},
		"requestBody": object{"required": true, "description": "The package, of any content type, or a form with one file.",
			"content": object{
				"application/octet-stream": object{"schema": file},
				"multipart/form-data": object{"schema": object{
					"type": "object", "properties": object{"package": file}, "required": []any{"package"}}},
			}},
		"responses": object{
			"200":     answer("The version.", "kre.admin.v1.Version"),
			"default": answer("An error.", "google.rpc.Status"),
		},
	}
}
