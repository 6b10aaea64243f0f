package bench

import (
	"archive/tar"
	"compress/gzip"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/konstellation-io/kre/e2e/harness"
)

const mib = 1 << 20

// BenchmarkEngine measures how soon `kre up` is ready, on a new data directory and on one that is there, what memory the
// engine takes with one runtime and without user nodes, and how soon what is published answers after a restart.
func BenchmarkEngine(b *testing.B) {
	for b.Loop() {
		started := time.Now()
		engine := harness.NewEngine(b)
		record(b, "up_ready_first_s", time.Since(started).Seconds(), "at most 5")
		engine.Runtime(b, "idle")
		engine.Stop()
		started = time.Now()
		engine.Start()
		record(b, "up_ready_s", time.Since(started).Seconds(), "at most 5")
		harness.Eventually(b, "the runtime's processes are there", func() (bool, string) {
			return len(engine.Processes("runtime-api")) == 1, ""
		})
		var sum int64
		for _, process := range engine.Processes("") {
			sum += process.Memory
		}
		record(b, "up_rss_mib", float64(sum)/mib, "at most 400, all services, one runtime")
		published := engine.Published(b, "published", harness.Greeting(b, "greeting-v1"), "greeting-v1")
		engine.Stop()
		started = time.Now()
		engine.Start()
		harness.Eventually(b, "what was published answers again", func() (bool, string) {
			answer, err := harness.PostTo(b.Context(), published.GetHttpAddress()+"/greeting.Greeting/Greet", "application/json", `{"name":"Ada"}`)
			return err == nil && answer.Status == http.StatusOK, ""
		})
		record(b, "up_answers_s", time.Since(started).Seconds(), "at most 10, with a published version")
	}
}

// BenchmarkUpload measures an upload of 2 GiB through every service: how long, beside copying as many bytes to a file, and
// the most memory that any service had.
func BenchmarkUpload(b *testing.B) {
	const size = 2 << 30
	for b.Loop() {
		engine := harness.NewEngine(b)
		engine.Runtime(b, "large")
		manifest := "krtVersion: v2\nversion: large\nworkflows:\n- name: w\n  entrypoint: Go\n  exitpoint: n\n" +
			"  nodes:\n  - {name: n, image: none, src: main.py, subscriptions: [entrypoint]}\n"
		reader, writer := io.Pipe()
		go func() { writer.CloseWithError(large(writer, manifest, size)) }()
		started := time.Now()
		version, err := engine.UploadFrom(b.Context(), "large", reader)
		took := time.Since(started)
		require.NoError(b, err)
		require.Greater(b, version.GetSizeBytes(), int64(size))
		for _, program := range []string{"admin-api", "k8s-manager", "runtime-api"} {
			for _, process := range engine.Processes(program) {
				record(b, "upload_2gib_"+program+"_rss_mib", mostResident(b, process.PID), "at most 100")
				break
			}
		}
		var stores float64
		for _, process := range engine.Processes("kre") { // the other one only waits for its end
			stores = max(stores, mostResident(b, process.PID))
		}
		record(b, "upload_2gib_kre_rss_mib", stores, "the embedded stores, all in one process")
		record(b, "upload_2gib_s", took.Seconds(), "")
		started = time.Now()
		file, err := os.Create(b.TempDir() + "/copy")
		require.NoError(b, err)
		_, err = io.CopyN(file, rand.NewChaCha8([32]byte{1}), size)
		require.NoError(b, err)
		require.NoError(b, file.Close())
		record(b, "upload_2gib_per_copy", took.Seconds()/time.Since(started).Seconds(), "times writing the bytes to a file")
		require.NoError(b, os.Remove(file.Name()))
	}
}

// large writes a package whose one model is made of noise.
func large(w io.Writer, manifest string, size int64) error {
	zipped, err := gzip.NewWriterLevel(w, gzip.NoCompression)
	if err != nil {
		return err
	}
	archive := tar.NewWriter(zipped)
	for _, file := range [][2]string{{"krt.yml", manifest}, {"main.py", "async def default_handler(ctx, data): pass\n"}} {
		if err := archive.WriteHeader(&tar.Header{Name: file[0], Mode: 0o644, Size: int64(len(file[1]))}); err != nil {
			return err
		}
		if _, err := io.WriteString(archive, file[1]); err != nil {
			return err
		}
	}
	if err := archive.WriteHeader(&tar.Header{Name: "models/noise.bin", Mode: 0o644, Size: size}); err != nil {
		return err
	}
	if _, err := io.CopyN(archive, rand.NewChaCha8([32]byte{1}), size); err != nil {
		return err
	}
	if err := archive.Close(); err != nil {
		return err
	}
	return zipped.Close()
}

// mostResident is the most resident memory that a process ever had, in MiB.
func mostResident(b *testing.B, pid int) float64 {
	b.Helper()
	content, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	require.NoError(b, err)
	var kib float64
	for i := 0; i < len(content); i++ {
		if n, err := fmt.Sscanf(string(content[i:]), "VmHWM: %f kB", &kib); n == 1 && err == nil {
			return kib / 1024
		}
	}
	require.FailNow(b, "the system does not tell the peak of a process")
	return 0
}
