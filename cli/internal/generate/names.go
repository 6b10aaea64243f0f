package generate

import (
	"slices"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// keywords are the words that Python lets nothing be called by.
var keywords = []string{
	"False", "None", "True", "and", "as", "assert", "async", "await", "break", "class", "continue", "def", "del", "elif",
	"else", "except", "finally", "for", "from", "global", "if", "import", "in", "is", "lambda", "nonlocal", "not", "or",
	"pass", "raise", "return", "try", "while", "with", "yield",
}

func keyword(name string) bool { return slices.Contains(keywords, name) }

// importable reports whether an import statement can name a module.
func importable(module string) bool { return !slices.ContainsFunc(strings.Split(module, "."), keyword) }

// topLevelNames returns what a file's module defines.
func topLevelNames(file protoreflect.FileDescriptor) map[string]bool {
	names := make(map[string]bool)
	addTypes(names, file)
	return names
}

// memberNames returns what a message's class defines.
func memberNames(message protoreflect.MessageDescriptor) map[string]bool {
	names := make(map[string]bool)
	addTypes(names, message)
	for i := range message.Fields().Len() {
		names[string(message.Fields().Get(i).Name())] = true
	}
	return names
}

// declarations is what files and messages have in common.
type declarations interface {
	Enums() protoreflect.EnumDescriptors
	Messages() protoreflect.MessageDescriptors
	Extensions() protoreflect.ExtensionDescriptors
}

func addTypes(names map[string]bool, in declarations) {
	for i := range in.Messages().Len() {
		if message := in.Messages().Get(i); !message.IsMapEntry() {
			names[string(message.Name())] = true
		}
	}
	for i := range in.Extensions().Len() {
		names[string(in.Extensions().Get(i).Name())] = true
	}
	for i := range in.Enums().Len() {
		enum := in.Enums().Get(i)
		names[string(enum.Name())] = true
		for j := range enum.Values().Len() {
			names[string(enum.Values().Get(j).Name())] = true
		}
	}
}

// publicNames calls use for everything that a file takes over from its public imports, and from theirs.
func publicNames(file protoreflect.FileDescriptor, use func(module, name string)) {
	for i := range file.Imports().Len() {
		imported := file.Imports().Get(i)
		if !imported.IsPublic || !importable(moduleName(imported.Path())) {
			continue
		}
		var names []string
		for name := range topLevelNames(imported.FileDescriptor) {
			if !keyword(name) {
				names = append(names, name)
			}
		}
		slices.Sort(names)
		for _, name := range names {
			use(moduleName(imported.Path()), name)
		}
		publicNames(imported.FileDescriptor, use)
	}
}
