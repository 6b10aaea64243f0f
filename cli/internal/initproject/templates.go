package initproject

import (
	"bytes"
	"embed"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"strings"
	"text/template"

	"github.com/konstellation-io/kre/krt/manifest"
)

//go:embed templates
var templates embed.FS

// names are what the templates call things by.
type names struct {
	Name         string // of the project, fit for a version, and for a Go module
	Version      string // of the version
	ProtoPackage string // of the public proto
	Go           bool   // the node is written in Go
}

// maxName leaves room for `-v1` in the name of the version, which has at most 40 characters.
const maxName = 37

var unfit = regexp.MustCompile(`[^a-z0-9]+`)

// namesOf returns the names of a project in a folder called base.
func namesOf(base string, language Language) (names, error) {
	name := strings.Trim(unfit.ReplaceAllString(strings.ToLower(base), "-"), "-")
	if len(name) > maxName {
		name = strings.TrimRight(name[:maxName], "-")
	}
	if name == "" || name[0] < 'a' {
		return names{}, fmt.Errorf("%q cannot name a project: it should begin with a letter and hold letters, digits and dashes", base)
	}
	return names{
		Name:         name,
		Version:      name + "-v1",
		ProtoPackage: strings.ReplaceAll(name, "-", "_"),
		Go:           language == Go,
	}, nil
}

// render returns the files of a new project, by path.
func render(n names, language Language) (map[string][]byte, error) {
	files := make(map[string][]byte)
	for _, folder := range []string{"common", string(language)} {
		root := path.Join("templates", folder)
		err := fs.WalkDir(templates, root, func(name string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() {
				return err
			}
			source, err := templates.ReadFile(name)
			if err != nil {
				return err
			}
			parsed, err := template.New(name).Option("missingkey=error").Parse(string(source))
			if err != nil {
				return err
			}
			var content bytes.Buffer
			if err := parsed.Execute(&content, n); err != nil {
				return err
			}
			files[target(strings.TrimPrefix(name, root+"/"))] = content.Bytes()
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("make the project's files: %w", err)
		}
	}
	if _, problems := manifest.Parse("krt.yml", files["krt.yml"]); problems.Err() != nil {
		return nil, fmt.Errorf("%q cannot name a project: %w", n.Name, problems.Err())
	}
	return files, nil
}

// target returns the path in the project of a template: hidden files are not hidden among the templates.
func target(name string) string {
	folder, base := path.Split(strings.TrimSuffix(name, ".tmpl"))
	if hidden, found := strings.CutPrefix(base, "dot_"); found {
		base = "." + hidden
	}
	return folder + base
}
