// Package output is how commands of an engine answer: as a table for people, as JSON or YAML for programs. What programs
// get of a message is what the REST API answers; a list is an array; of what goes on (a watch, logs) each message is a
// line of JSON or a document of YAML. Either may be shown on a terminal: see package terminal.
package output

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"go.yaml.in/yaml/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/konstellation-io/kre/cli/internal/terminal"
)

// Format says how to answer.
type Format struct {
	Output string `short:"o" enum:"table,json,yaml" default:"table" help:"table for people, json or yaml for programs."`
}

// Structured tells whether a program reads the answer.
func (f Format) Structured() bool { return f.Output == "json" || f.Output == "yaml" }

// Message writes a message as JSON or YAML, as the REST API has it.
func (f Format) Message(w io.Writer, m proto.Message) error {
	compact, err := Encode(m)
	if err != nil {
		return err
	}
	return f.JSON(w, compact)
}

// Messages writes messages as a list: an array of what the REST API answers for each.
func Messages[M proto.Message](f Format, w io.Writer, all []M) error {
	var content bytes.Buffer
	content.WriteByte('[')
	for i, m := range all {
		compact, err := Encode(m)
		if err != nil {
			return err
		}
		if i > 0 {
			content.WriteByte(',')
		}
		content.Write(compact)
	}
	content.WriteByte(']')
	return f.JSON(w, content.Bytes())
}

// Value writes what is no message as JSON or YAML.
func (f Format) Value(w io.Writer, value any) error {
	content, err := json.Marshal(value)
	if err != nil {
		return fmt.Errorf("write the answer: %w", err)
	}
	return f.JSON(w, content)
}

// gone is what programs read of a removal.
type gone struct {
	Name    string `json:"name"`
	Deleted bool   `json:"deleted"`
}

// Gone writes that what had this name is deleted, or that its removal has begun.
func (f Format) Gone(w io.Writer, name string, deleted bool) error {
	return f.Value(w, gone{name, deleted})
}

// JSON writes what is JSON already, as JSON or YAML.
func (f Format) JSON(w io.Writer, content []byte) error {
	if f.Output == "yaml" {
		return writeYAML(w, content)
	}
	var pretty bytes.Buffer
	if err := json.Indent(&pretty, content, "", "  "); err != nil {
		return fmt.Errorf("write the answer: %w", err)
	}
	_, err := fmt.Fprintf(w, "%s\n", terminal.JSON(pretty.Bytes()))
	return err
}

// Next writes one message of a stream: a line of JSON, or a document of YAML.
func (f Format) Next(w io.Writer, m proto.Message) error {
	compact, err := Encode(m)
	if err != nil {
		return err
	}
	if f.Output == "yaml" {
		if _, err := fmt.Fprintln(w, "---"); err != nil {
			return err
		}
		return writeYAML(w, compact)
	}
	_, err = fmt.Fprintf(w, "%s\n", terminal.JSON(compact))
	return err
}

// Encode is JSON without blanks, which differ between builds.
func Encode(m proto.Message) ([]byte, error) {
	loose, err := protojson.MarshalOptions{EmitDefaultValues: true}.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("write the answer: %w", err)
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, loose); err != nil {
		return nil, fmt.Errorf("write the answer: %w", err)
	}
	return compact.Bytes(), nil
}

// writeYAML writes JSON, which is YAML, the way YAML is usually written; the fields keep their order.
func writeYAML(w io.Writer, compact []byte) error {
	var node yaml.Node
	if err := yaml.Unmarshal(terminal.JSON(compact), &node); err != nil { // which refuses some of what JSON may hold
		return fmt.Errorf("write the answer: %w", err)
	}
	plain(&node)
	var document bytes.Buffer
	encoder := yaml.NewEncoder(&document)
	encoder.SetIndent(2)
	if err := encoder.Encode(&node); err != nil {
		return fmt.Errorf("write the answer: %w", err)
	}
	if err := encoder.Close(); err != nil {
		return fmt.Errorf("write the answer: %w", err)
	}
	_, err := w.Write(terminal.JSON(document.Bytes()))
	return err
}

// plain takes out the style of JSON. Text stays quoted that some reader of YAML takes for something else, or that needs escapes.
func plain(node *yaml.Node) {
	style := yaml.Style(0)
	if node.Kind == yaml.ScalarNode && node.Tag == "!!str" {
		text, err := yaml.Marshal(node.Value)
		if err != nil || terminal.Acts(strings.ReplaceAll(node.Value, "\n", "")) || bytes.HasPrefix(text, []byte{'"'}) || bytes.HasPrefix(text, []byte{'\''}) {
			style = yaml.DoubleQuotedStyle
		}
	}
	node.Style = style
	for _, child := range node.Content {
		plain(child)
	}
}
