package service

import (
	"errors"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/dynamicpb"
)

// Resolver finds descriptors and types: the package's own first, then those that are linked in, so that a package may
// bring its own copy of a file that the entrypoint also knows. It serves reflection and JSON.
type Resolver struct {
	files *protoregistry.Files
	types *dynamicpb.Types
}

func newResolver(files *protoregistry.Files) *Resolver {
	return &Resolver{files: files, types: dynamicpb.NewTypes(files)}
}

// FindFileByPath finds a file.
func (r *Resolver) FindFileByPath(path string) (protoreflect.FileDescriptor, error) {
	return first(path, r.files.FindFileByPath, protoregistry.GlobalFiles.FindFileByPath)
}

// FindDescriptorByName finds whatever has that name.
func (r *Resolver) FindDescriptorByName(name protoreflect.FullName) (protoreflect.Descriptor, error) {
	return first(name, r.files.FindDescriptorByName, protoregistry.GlobalFiles.FindDescriptorByName)
}

// FindMessageByName finds the type of a message.
func (r *Resolver) FindMessageByName(name protoreflect.FullName) (protoreflect.MessageType, error) {
	return first(name, r.types.FindMessageByName, protoregistry.GlobalTypes.FindMessageByName)
}

// FindMessageByURL finds the type of what an Any holds.
func (r *Resolver) FindMessageByURL(url string) (protoreflect.MessageType, error) {
	return first(url, r.types.FindMessageByURL, protoregistry.GlobalTypes.FindMessageByURL)
}

// FindExtensionByName finds an extension.
func (r *Resolver) FindExtensionByName(name protoreflect.FullName) (protoreflect.ExtensionType, error) {
	return first(name, r.types.FindExtensionByName, protoregistry.GlobalTypes.FindExtensionByName)
}

// FindExtensionByNumber finds an extension by what it extends.
func (r *Resolver) FindExtensionByNumber(message protoreflect.FullName, number protoreflect.FieldNumber) (protoreflect.ExtensionType, error) {
	found, err := r.types.FindExtensionByNumber(message, number)
	if errors.Is(err, protoregistry.NotFound) {
		return protoregistry.GlobalTypes.FindExtensionByNumber(message, number)
	}
	return found, err
}

// RangeExtensionsByMessage calls f for each extension of a message until it returns false.
func (r *Resolver) RangeExtensionsByMessage(message protoreflect.FullName, f func(protoreflect.ExtensionType) bool) {
	seen := map[protoreflect.FieldNumber]bool{}
	more := true
	each := func(found protoreflect.ExtensionType) bool {
		number := found.TypeDescriptor().Number()
		if more && !seen[number] {
			seen[number] = true
			more = f(found)
		}
		return more
	}
	r.files.RangeFiles(func(file protoreflect.FileDescriptor) bool {
		return extensions(file, message, each)
	})
	if more {
		protoregistry.GlobalTypes.RangeExtensionsByMessage(message, each)
	}
}

// declarer is a file or a message: what extensions are declared in.
type declarer interface {
	Extensions() protoreflect.ExtensionDescriptors
	Messages() protoreflect.MessageDescriptors
}

func extensions(in declarer, of protoreflect.FullName, each func(protoreflect.ExtensionType) bool) bool {
	for i := range in.Extensions().Len() {
		found := in.Extensions().Get(i)
		if found.ContainingMessage().FullName() == of && !each(dynamicpb.NewExtensionType(found)) {
			return false
		}
	}
	for i := range in.Messages().Len() {
		if !extensions(in.Messages().Get(i), of, each) {
			return false
		}
	}
	return true
}

func first[K, V any](key K, finders ...func(K) (V, error)) (found V, err error) {
	for _, find := range finders {
		if found, err = find(key); !errors.Is(err, protoregistry.NotFound) {
			return found, err
		}
	}
	return found, err
}
