package packages_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/konstellation-io/kre/kit/fault"
)

// dear is more memory than attacks on the service may take, all together.
const dear = 256 << 20

func TestWhatIsImportedIsFoundHoweverItIsWritten(t *testing.T) {
	s := open(t)
	for name, imports := range map[string]string{
		"in single quotes": "import 'zebra.proto';",
		"two on a line":    `import "google/protobuf/empty.proto"; import "zebra.proto";`,
		"over two lines":   "import\n  \"zebra\" '.proto';",
	} {
		t.Run(name, func(t *testing.T) {
			content := strings.Replace(proto, "package prices;", imports+"\npackage prices;", 1)
			content = strings.Replace(content, "int32 rooms = 1;", "zebra.Zebra rooms = 1;", 1)
			version := strings.ReplaceAll(name, " ", "-")
			entries := prices(version, entry{name: "zebra.proto", body: "syntax = \"proto3\"; package zebra; message Zebra {}"})
			entries[1].body = content
			entries[2], entries[3] = entries[3], entries[2]
			s.mustUpload(t, krt(t, entries...))
		})
	}
}

func TestTheCopyOfAWellKnownProtoThatComesLateIsTaken(t *testing.T) {
	s := open(t)
	entries := prices("prices-v1", entry{name: "google/protobuf/empty.proto", body: `syntax = "proto3"; package google.protobuf; message Empty { Nothing n = 1; }`})
	entries[1].body = strings.Replace(proto, "package prices;", "import 'google/protobuf/empty.proto';\npackage prices;", 1)
	_, err := s.Upload(t.Context(), krt(t, entries...), nothing)
	require.ErrorContains(t, err, "unknown type Nothing")
}

// hostile are packages that took a gigabyte, or minutes.
func hostile() map[string][]entry {
	const header = "syntax = \"proto3\";\n"
	of := func(content string, more ...entry) []entry {
		return append([]entry{{name: "krt.yml", body: manifestOf("hostile-v1")}, {name: "public.proto", body: header + content}}, more...)
	}
	var protos []entry
	for i := range 100 {
		protos = append(protos, entry{name: fmt.Sprintf("z%d.proto", i), body: header})
	}
	slow := manifestOf("hostile-v1") + "config2: [" + strings.Repeat("[],", 30_000) + "]\n"
	words := header + strings.Repeat("message A { int32 a = 1; }\n", 8_500)
	var wordy []entry
	for i := range 12 {
		wordy = append(wordy, entry{name: fmt.Sprintf("w%d.proto", i), body: words})
	}
	imports := ""
	for i := range wordy {
		imports += fmt.Sprintf("import 'w%d.proto';\n", i)
	}
	return map[string][]entry{
		"an option nested without end":       of("option (a) = " + strings.Repeat("{a\n", 300_000)),
		"NUL bytes":                          of(strings.Repeat("\x00", 110_000)),
		"a slow manifest before many protos": append([]entry{{name: "krt.yml", body: slow}}, protos...),
		"many large protos":                  of(imports, wordy...),
		"all in one line":                    of(strings.Repeat("message A{}", 90_000)),
		"a thousand million replicas":        {{name: "krt.yml", body: strings.Replace(manifestOf("hostile-v1"), "replicas: 2", "replicas: 1000000000", 1)}},
		"10,000 nodes":                       {{name: "krt.yml", body: manifestOf("hostile-v1") + strings.Repeat("      - {}\n", 10_000)}},
		"very many mistakes in the manifest": {{name: "krt.yml", body: manifestOf("hostile-v1") + strings.Repeat("a:\n", 30_000)}},
	}
}

func TestAHostilePackageIsRefusedAndItsNeighbourIsNot(t *testing.T) {
	s := open(t)
	for name, entries := range hostile() {
		t.Run(name, func(t *testing.T) {
			const attackers = 3
			attack := gzipped(t, tarOf(t, append(entries, entry{name: "model.bin", body: "x"})...))
			peak := watchHeap(t)
			ended := make(chan error, attackers)
			for range attackers {
				go func() {
					_, err := s.Upload(t.Context(), bytes.NewReader(attack), nothing)
					ended <- err
				}()
			}
			version := "neighbour-" + fmt.Sprint(len(name))
			_, err := s.Upload(t.Context(), krt(t, prices(version)...), nothing)
			require.NoError(t, err)
			for range attackers {
				err := <-ended
				require.Equal(t, fault.Invalid, fault.KindOf(err), "%v", err)
				require.Less(t, len(err.Error()), 64<<10)
			}
			require.Less(t, peak(), uint64(dear))
			require.NoError(t, s.Delete(t.Context(), version))
			require.Empty(t, s.keys(t))
		})
	}
}
