package spec_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
)

// nodeBefore is what an author wrote before there were parcels.
const nodeBefore = `package main

import (
	kre "github.com/konstellation-io/kre/runner-sdk/go"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

func main() {
	kre.Start(nil, func(ctx *kre.HandlerContext, _ *anypb.Any) error {
		for _, text := range []string{"one", "two", "three"} {
			if err := ctx.SendOutput(wrapperspb.String(text)); err != nil {
				return err
			}
		}
		return nil
	})
}
`

// buildBefore builds a node with the SDK as it was before there were parcels.
func buildBefore(t *testing.T) string {
	t.Helper()
	folder := t.TempDir()
	run := func(dir, name string, args ...string) {
		t.Helper()
		command := exec.Command(name, args...)
		command.Dir, command.Env = dir, append(os.Environ(), "GOWORK=off", "GOFLAGS=-mod=mod")
		output, err := command.CombinedOutput()
		require.NoError(t, err, "%s", output)
	}
	archive, err := filepath.Abs("testdata/sdk-before-parcels.tar.gz")
	require.NoError(t, err)
	sdk := filepath.Join(folder, "sdk")
	require.NoError(t, os.Mkdir(sdk, 0o700))
	run(sdk, "tar", "-xzf", archive)
	source := filepath.Join(sdk, "cmd", "node")
	require.NoError(t, os.MkdirAll(source, 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(source, "main.go"), []byte(nodeBefore), 0o600))
	binary := filepath.Join(folder, "node")
	run(sdk, "go", "build", "-o", binary, "./cmd/node")
	return binary
}

func TestANodeThatWasBuiltBeforeThereWereParcelsWorksOn(t *testing.T) {
	binary := buildBefore(t)
	l := language{name: "go, before parcels", command: func(*testing.T, string) (argv, env []string, src string) {
		return []string{binary}, nil, "bin/node"
	}}
	v := newVersion(t)
	c := v.caller()
	node := v.node("first")
	l.run(v, node, "").waitReady()
	const many = 50
	for i := range many {
		v.ask(c, node, send(strconv.Itoa(i)))
	}
	v.settled(node)
	require.Equal(t, map[string]int{"one": many, "two": many, "three": many}, v.texts(node.Output.Stream))
	require.Zero(t, v.last(node.DeadLetters.Stream))
}
