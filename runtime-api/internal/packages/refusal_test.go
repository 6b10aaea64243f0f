package packages_test

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/konstellation-io/kre/kit/fault"
	"github.com/konstellation-io/kre/krt/archive"
	"github.com/konstellation-io/kre/runtime-api/internal/packages"
)

func fieldPaths(t *testing.T, err error) []string {
	t.Helper()
	var wrong *fault.Error
	require.ErrorAs(t, err, &wrong)
	require.Equal(t, fault.Invalid, wrong.Kind)
	require.Equal(t, "ERROR_REASON_INVALID_MANIFEST", wrong.Reason)
	var paths []string
	for _, field := range wrong.Fields {
		paths = append(paths, field.Path)
	}
	return paths
}

// big is more than one part of an object, and cannot be made smaller.
var big = sync.OnceValue(func() string {
	content := make([]byte, 9<<20)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(content) // never fails
	return string(content)
})

func TestARefusedPackageLeavesNothingBehind(t *testing.T) {
	s := openWith(t, packages.Options{Limits: archive.Limits{MaxBytes: 15 << 20, MaxEntries: 10}})
	large := entry{name: "a-model.bin", body: big()}
	good := tarOf(t, prices("prices-v1", large)...)
	zipped := gzipped(t, good)
	many := prices("prices-v1", large)
	for i := range 10 {
		many = append(many, entry{name: strings.Repeat("x", i+1)})
	}
	for _, c := range []struct {
		name    string
		content []byte
		problem string // archive.Refusal.Kind
		entry   string
	}{
		{"nothing at all", nil, "not gzip", ""},
		{"no archive", []byte("PK\x03\x04 this is a zip file"), "not gzip", ""},
		{"no tar", gzipped(t, []byte(strings.Repeat("no tar", 500))), "not tar", ""},
		{"a bomb", gzipped(t, tarOf(t, prices("prices-v1", large, entry{name: "bomb", body: strings.Repeat("\x00", 15<<20)})...)), "too large", "bomb"},
		{"too many entries", gzipped(t, tarOf(t, many...)), "too many entries", strings.Repeat("x", 6)},
		{"a traversal", gzipped(t, tarOf(t, prices("prices-v1", large, entry{name: "../x", body: "x"})...)), "leaves the root", "../x"},
		{"an absolute path", gzipped(t, tarOf(t, prices("prices-v1", large, entry{name: "/etc/x", body: "x"})...)), "leaves the root", "/etc/x"},
		{"a symbolic link", gzipped(t, tarOf(t, prices("prices-v1", large, entry{name: "l", kind: tar.TypeSymlink, link: "krt.yml"})...)), "link", "l"},
		{"a hard link", gzipped(t, tarOf(t, prices("prices-v1", large, entry{name: "l", kind: tar.TypeLink, link: "krt.yml"})...)), "link", "l"},
		{"a device", gzipped(t, tarOf(t, prices("prices-v1", large, entry{name: "d", kind: tar.TypeChar})...)), "special file", "d"},
		{"an entry twice", gzipped(t, tarOf(t, prices("prices-v1", large, entry{name: "bin/model", body: "y"})...)), "duplicate", "bin/model"},
		{"no manifest", gzipped(t, tarOf(t, large)), "no manifest", ""},
		{"two manifests", gzipped(t, tarOf(t, prices("prices-v1", large, entry{name: "krt.yaml", body: manifestOf("v")})...)), "two manifests", "krt.yaml"},
		{"cut within the big file", zipped[:len(zipped)/2], "truncated", ""},
		{"cut before its end", zipped[:len(zipped)-8], "truncated", ""},
		{"more after its end", append(bytes.Clone(zipped), "more"...), "trailing bytes", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := s.Upload(t.Context(), bytes.NewReader(c.content), nothing)
			var wrong *fault.Error
			require.ErrorAs(t, err, &wrong)
			require.Equal(t, fault.Invalid, wrong.Kind, "%v", err)
			require.Equal(t, "ERROR_REASON_INVALID_PACKAGE", wrong.Reason)
			require.Equal(t, c.problem, wrong.Metadata["problem"], "%v", err)
			if c.entry != "" {
				require.Equal(t, c.entry, wrong.Metadata["entry"])
			}
			require.Empty(t, s.keys(t))
		})
	}
}

func TestAllProblemsOfAManifestAreTold(t *testing.T) {
	s := open(t)
	wrong := strings.NewReplacer("replicas: 2", "replicas: 0", "exitpoint: model", "exitpoint: modell", "[CURRENCY]", "[currency]").
		Replace(manifestOf("prices-v1"))
	entries := prices("prices-v1", entry{name: "model.bin", body: big()})
	entries[0].body = wrong
	_, err := s.Upload(t.Context(), krt(t, entries...), func(packages.Manifest) error {
		require.Fail(t, "it is told as right")
		return nil
	})
	require.Equal(t, []string{"config.variables[0]", "workflows[0].exitpoint", "workflows[0].nodes[0].replicas"}, fieldPaths(t, err))
	require.ErrorContains(t, err, "workflows[0].exitpoint (line 9)")
	require.Empty(t, s.keys(t))
}

func TestAManifestThatIsWrongIsRefusedBeforeTheRestArrives(t *testing.T) {
	s := open(t)
	whole := tarOf(t, entry{name: "krt.yml", body: "version: prices-v1\n"}, entry{name: "model.bin", body: big()})
	never := make(chan error) // whoever reads beyond the first 5 KiB waits for ever
	_, err := s.Upload(t.Context(), &cutting{Reader: bytes.NewReader(gzipped(t, whole[:5<<10])), goOn: never}, nothing)
	require.NotEmpty(t, fieldPaths(t, err))
}

func TestAProgramOrProtoThatIsMissingIsToldAtTheEnd(t *testing.T) {
	s := open(t)
	_, err := s.Upload(t.Context(), krt(t, entry{name: "krt.yml", body: manifestOf("prices-v1")}, entry{name: "other", body: "x"}), nothing)
	require.ElementsMatch(t, []string{"entrypoint.proto", "workflows[0].nodes[0].src"}, fieldPaths(t, err))
	require.Empty(t, s.keys(t))
}

func TestAnUploadThatIsCutLeavesNothingBehind(t *testing.T) {
	s := open(t)
	zipped := gzipped(t, tarOf(t, prices("prices-v1", entry{name: "model.bin", body: big()})...))
	gone := errors.New("the caller is gone")
	t.Run("because it cannot be read", func(t *testing.T) {
		failing := make(chan error, 1)
		failing <- gone
		_, err := s.Upload(t.Context(), &cutting{Reader: bytes.NewReader(zipped[:len(zipped)-100]), goOn: failing}, nothing)
		require.ErrorIs(t, err, gone)
		require.Empty(t, s.keys(t))
	})
	t.Run("because the caller has gone", func(t *testing.T) {
		ctx, cancel := context.WithCancelCause(t.Context())
		reached, waiting, ended := make(chan struct{}), make(chan error), make(chan error, 1)
		go func() {
			_, err := s.Upload(ctx, &cutting{Reader: bytes.NewReader(zipped[:len(zipped)-100]), reached: reached, goOn: waiting}, nothing)
			ended <- err
		}()
		<-reached
		require.NotEmpty(t, s.keys(t), "a part of it has been stored")
		cancel(gone)
		waiting <- gone
		err := <-ended
		require.Error(t, err)
		require.Empty(t, s.keys(t))
	})
}
