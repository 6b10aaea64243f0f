package packages_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/konstellation-io/kre/kit/fault"
	"github.com/konstellation-io/kre/krt/archive"
	"github.com/konstellation-io/kre/runtime-api/internal/packages"
)

func keyOf(content string) string {
	sum := sha256.Sum256([]byte(content))
	return "objects/" + hex.EncodeToString(sum[:])
}

func TestAPackageIsOneObjectPerFileAndAList(t *testing.T) {
	s := open(t)
	stored := s.mustUpload(t, krt(t, prices("prices-v1", entry{name: "empty"}, entry{name: "docs/README.md", body: "Prices."})...))

	require.Equal(t, "prices-v1", stored.Version)
	require.EqualValues(t, len(manifestOf("prices-v1"))+len(proto)+len("#!/bin/sh\n")+len("Prices."), stored.Size)
	require.Equal(t, "Estimates prices.", stored.Manifest.Description)
	require.Equal(t, []string{"CURRENCY"}, stored.Manifest.Variables)
	require.Equal(t, []string{"RATES"}, stored.Manifest.Files)
	require.Equal(t, []packages.Workflow{{Name: "estimate", RPC: "Estimate", Exitpoint: "model", Nodes: []packages.Node{
		{Name: "model", Src: "bin/model", Subscriptions: []string{"entrypoint"}, Replicas: 2},
	}}}, stored.Manifest.Workflows)
	wanted := []string{
		keyOf(manifestOf("prices-v1")), keyOf(proto), keyOf("#!/bin/sh\n"), keyOf(""), keyOf("Prices."), "versions/prices-v1.json",
	}
	slices.Sort(wanted)
	require.Equal(t, wanted, s.keys(t))

	read, err := s.Get(t.Context(), "prices-v1")
	require.NoError(t, err)
	require.Equal(t, stored, read)
	digests, err := s.List(t.Context())
	require.NoError(t, err)
	require.Equal(t, map[string]string{"prices-v1": stored.Digest}, digests)
}

func TestAFileThatIsThereTwiceIsStoredOnce(t *testing.T) {
	s := open(t)
	first := s.mustUpload(t, krt(t, prices("prices-v1", entry{name: "a.bin", body: "model"}, entry{name: "b.bin", body: "model"})...))
	before := len(s.keys(t))
	require.Equal(t, 5, before, "manifest, proto, program, model, list")
	second := s.mustUpload(t, krt(t, prices("prices-v2", entry{name: "c.bin", body: "model"})...))
	require.NotEqual(t, first.Digest, second.Digest)
	require.Len(t, s.keys(t), before+2, "the other manifest and the other list")
}

func TestTheSamePackageAgainChangesNothing(t *testing.T) {
	s := open(t)
	first := s.mustUpload(t, krt(t, prices("prices-v1")...))
	before := s.keys(t)
	turned := prices("prices-v1")
	slices.Reverse(turned)
	require.Equal(t, first, s.mustUpload(t, krt(t, turned...)), "another archive of the same files")
	require.Equal(t, before, s.keys(t))
}

func TestAnotherPackageOfTheSameVersionIsRefused(t *testing.T) {
	s := open(t)
	first := s.mustUpload(t, krt(t, prices("prices-v1")...))
	before := s.keys(t)
	_, err := s.upload(t, krt(t, prices("prices-v1", entry{name: "more", body: "more"})...))
	require.Equal(t, fault.AlreadyExists, fault.KindOf(err))
	require.ErrorContains(t, err, first.Digest)
	require.Equal(t, before, s.keys(t))
}

func TestOfSeveralUploadsOfOneNameAtOnceOneIsStored(t *testing.T) {
	s := open(t)
	const callers = 6
	type result struct {
		stored *packages.Package
		err    error
	}
	results := make(chan result, callers)
	for i := range callers {
		content := krt(t, prices("prices-v1", entry{name: "which", body: fmt.Sprint(i)})...)
		go func() {
			stored, err := s.Upload(context.Background(), content, nothing)
			results <- result{stored, err}
		}()
	}
	var stored *packages.Package
	for range callers {
		r := <-results
		if r.err == nil {
			require.Nil(t, stored, "two are stored")
			stored = r.stored
			continue
		}
		require.Equal(t, fault.AlreadyExists, fault.KindOf(r.err))
	}
	require.NotNil(t, stored)
	s.fetch(t, "prices-v1", stored.Digest)
	require.Len(t, s.keys(t), 5)
}

func TestTheManifestIsToldBeforeTheRestHasArrived(t *testing.T) {
	s := open(t)
	whole := tarOf(t, prices("prices-v1", entry{name: "z.bin", body: strings.Repeat("weights", 1000)})...)
	zipped := gzipped(t, whole[:5<<10]) // the manifest, the proto, and a part of the program
	goOn := make(chan error)
	content := &cutting{Reader: bytes.NewReader(zipped), goOn: goOn}
	told := make(chan packages.Manifest, 1)
	ended := make(chan error, 1)
	go func() {
		_, err := s.Upload(context.Background(), content, func(m packages.Manifest) error { told <- m; return nil })
		ended <- err
	}()
	require.Equal(t, "prices-v1", (<-told).Version)
	close(goOn)
	require.Equal(t, fault.Invalid, fault.KindOf(<-ended), "it ends in the middle")
	require.Empty(t, s.keys(t))
}

func TestWhoDoesNotWantThePackageEndsTheUpload(t *testing.T) {
	s := open(t)
	unwanted := fault.New(fault.AlreadyExists, "the name is taken")
	_, err := s.Upload(t.Context(), krt(t, prices("prices-v1")...), func(packages.Manifest) error { return unwanted })
	require.ErrorIs(t, err, unwanted)
	require.Empty(t, s.keys(t))
}

const v1 = `version: 1.0.3
entrypoint:
  - {image: golang, name: input, entrypoint: src/ioapi}
nodes:
  - {name: model_input_etl, image: konstellation/kre-python3}
  - {name: model, image: konstellation/kre-pytorch2}
workflows:
  - name: make_prediction
    waterfall: [model_input_etl, model]
`

func TestAV1NodeWithoutSrcIsTheProgramThatThePackageHolds(t *testing.T) {
	s := open(t)
	for name, entries := range map[string][]entry{
		"the manifest first": {{name: "kre.yaml", body: v1}, {name: "src/model_input_etl/main.py"}, {name: "bin/model"}},
		"the manifest last":  {{name: "bin/model"}, {name: "src/model_input_etl/main.py"}, {name: "kre.yaml", body: v1}},
	} {
		t.Run(name, func(t *testing.T) {
			stored := s.mustUpload(t, krt(t, entries...))
			require.Equal(t, "v1-0-3", stored.Version)
			require.Equal(t, "1.0.3", stored.Manifest.DisplayName)
			nodes := stored.Manifest.Workflows[0].Nodes
			require.Equal(t, "src/model_input_etl/main.py", nodes[0].Src)
			require.Equal(t, "bin/model", nodes[1].Src)
			require.NotEmpty(t, stored.Manifest.Warnings)
		})
	}
}

func TestAV1NodeThatHasNoProgramIsToldWithTheOthers(t *testing.T) {
	s := open(t)
	_, err := s.upload(t, krt(t, entry{name: "kre.yaml", body: v1}, entry{name: "src/unrelated.py"}))
	require.Equal(t, []string{"nodes[0].src", "nodes[1].src"}, fieldPaths(t, err))
	require.Empty(t, s.keys(t))
}

func TestWhatIsDownloadedIsWhatWasUploaded(t *testing.T) {
	s := open(t)
	big := strings.Repeat("0123456789abcdef", 9<<20/16) // more than one part
	stored := s.mustUpload(t, krt(t, prices("prices-v1", entry{name: "model.bin", body: big}, entry{name: "ünïcode name", body: "x"})...))
	contents := s.fetch(t, "prices-v1", stored.Digest)
	require.Len(t, contents, 5)
	require.Equal(t, sha256.Sum256([]byte(big)), sha256.Sum256([]byte(contents["model.bin"])))
	require.Equal(t, manifestOf("prices-v1"), contents["krt.yml"])

	file, err := s.File(t.Context(), "prices-v1", "ünïcode name")
	require.NoError(t, err)
	content, err := io.ReadAll(file)
	require.NoError(t, err)
	require.NoError(t, file.Close())
	require.Equal(t, "x", string(content))
}

func TestADownloadOfAnotherDigestOrNothingIsRefused(t *testing.T) {
	s := open(t)
	s.mustUpload(t, krt(t, prices("prices-v1")...))
	called := func(archive.File, io.Reader) error {
		require.Fail(t, "a file was sent")
		return nil
	}
	require.Equal(t, fault.Precondition, fault.KindOf(s.Fetch(t.Context(), "prices-v1", strings.Repeat("0", 64), called)))
	require.Equal(t, fault.NotFound, fault.KindOf(s.Fetch(t.Context(), "prices-v2", strings.Repeat("0", 64), called)))
	_, err := s.File(t.Context(), "prices-v1", "bin/other")
	require.Equal(t, fault.NotFound, fault.KindOf(err))
	for _, name := range []string{"", "../prices-v1", "Prices", "a/b"} {
		_, err := s.Get(t.Context(), name)
		require.Equal(t, fault.Invalid, fault.KindOf(err), name)
	}
}
