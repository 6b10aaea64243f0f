package main_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	runtimev1 "github.com/konstellation-io/kre/proto/gen/go/kre/runtime/v1"
	"github.com/konstellation-io/kre/runtime-api/internal/storetest"
)

const bucket = "kre-prod"

// runtime is a runtime-api with all it needs, which may be killed and started again.
type runtime struct {
	dir, address, ready string
	env                 []string
	store               *storetest.Server
	js                  jetstream.JetStream
	conn                *grpc.ClientConn
	process             *exec.Cmd
	log                 bytes.Buffer
}

func openRuntime(t *testing.T) *runtime {
	t.Helper()
	broker := freeAddress(t)
	startBroker(t, broker)
	r := &runtime{
		dir: t.TempDir(), address: freeAddress(t), ready: filepath.Join(t.TempDir(), "ready"),
		store: storetest.Start(t, t.TempDir()),
	}
	r.env = append(os.Environ(), "KRE_NATS_URL=nats://"+natsPass+"@"+broker, "KRE_GRPC_ADDR="+r.address, "KRE_SERVICE_TOKEN="+token,
		"KRE_READY_FILE="+r.ready, "KRE_PROCESS_DIR="+r.dir, "KRE_S3_ENDPOINT="+r.store.Endpoint, "KRE_S3_BUCKET="+bucket,
		"KRE_S3_ACCESS_KEY="+storetest.AccessKey, "KRE_S3_SECRET_KEY="+storetest.SecretKey)
	conn, err := nats.Connect("nats://" + natsPass + "@" + broker)
	require.NoError(t, err)
	t.Cleanup(conn.Close)
	r.js, err = jetstream.New(conn)
	require.NoError(t, err)
	r.conn, err = grpc.NewClient(r.address, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.WaitForReady(true)))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, r.conn.Close()) })
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(r.log.String())
		}
	})
	r.start(t)
	return r
}

func (r *runtime) start(t *testing.T) {
	t.Helper()
	process := exec.Command(program)
	process.Env = r.env
	process.Stdout, process.Stderr = &r.log, &r.log
	require.NoError(t, process.Start())
	r.process = process
	t.Cleanup(func() {
		if process.ProcessState == nil {
			_ = process.Process.Kill()
			_ = process.Wait()
		}
	})
}

func (r *runtime) kill(t *testing.T) {
	t.Helper()
	require.NoError(t, r.process.Process.Kill())
	require.Error(t, r.process.Wait())
}

func (r *runtime) trusted(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+token)
}

// stored is how many lines are stored.
func (r *runtime) stored(t *testing.T) int {
	t.Helper()
	stream, err := r.js.Stream(t.Context(), "logs")
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return 0
	}
	require.NoError(t, err)
	return int(stream.CachedInfo().State.Msgs)
}

func TestEveryLineIsStoredOnceThoughItIsKilledAgainAndAgain(t *testing.T) {
	r := openRuntime(t)
	const count, kills = 20_000, 10
	logs := filepath.Join(r.dir, "versions", "prices-v1", "logs")
	require.NoError(t, os.MkdirAll(logs, 0o700))
	for _, process := range []string{"entrypoint-0", "estimate.model-0"} {
		file, err := os.Create(filepath.Join(logs, process+".log"))
		require.NoError(t, err)
		written := make(chan error, 1)
		t.Cleanup(func() { require.NoError(t, errors.Join(<-written, file.Close())) })
		go func() {
			for i := range count {
				if _, err := fmt.Fprintf(file, "%s says %d\n", process, i); err != nil {
					written <- err
					return
				}
			}
			written <- nil
		}()
	}
	dice := rand.New(rand.NewPCG(1, 2))
	for range kills {
		target := min(r.stored(t)+dice.IntN(2*count/kills), 2*count-1)
		require.Eventually(t, func() bool { return r.stored(t) >= target }, time.Minute, time.Millisecond)
		r.kill(t)
		r.start(t)
	}
	require.Eventually(t, func() bool { return r.stored(t) >= 2*count }, time.Minute, 10*time.Millisecond)

	api := runtimev1.NewLogServiceClient(r.conn)
	for _, process := range []string{"entrypoint-0", "estimate.model-0"} {
		node := strings.TrimSuffix(process, "-0")
		if node != "entrypoint" {
			node = process // no plan tells its name
		}
		search := &runtimev1.SearchLogsRequest{
			Filter: &runtimev1.LogFilter{Version: "prices-v1", Nodes: []string{node}}, OldestFirst: true, PageSize: 1000,
		}
		next := 0
		for {
			page, err := api.SearchLogs(r.trusted(t), search)
			require.NoError(t, err)
			for _, entry := range page.GetEntries() {
				require.Equal(t, process+" says "+strconv.Itoa(next), entry.GetMessage())
				next++
			}
			if search.PageToken = page.GetNextPageToken(); search.PageToken == "" {
				break
			}
		}
		require.Equal(t, count, next)
	}
}

// packageOf is a package with a file of a size.
func packageOf(t *testing.T, version string, size int) []byte {
	t.Helper()
	content := make([]byte, size)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(content) // never fails
	var out bytes.Buffer
	zipped, err := gzip.NewWriterLevel(&out, gzip.NoCompression)
	require.NoError(t, err)
	w := tar.NewWriter(zipped)
	for _, file := range []struct{ name, content string }{
		{"krt.yml", "version: " + version + "\nentrypoint: {proto: p.proto}\nworkflows:\n" +
			"  - {name: w, entrypoint: Do, exitpoint: n, nodes: [{name: n, image: py, src: n.py, subscriptions: [entrypoint]}]}\n"},
		{"p.proto", "syntax = \"proto3\";\nmessage M {}\nservice S { rpc Do(M) returns (M); }\n"},
		{"n.py", "pass\n"},
		{"a-model.bin", string(content)},
	} {
		require.NoError(t, w.WriteHeader(&tar.Header{Name: file.name, Mode: 0o644, Size: int64(len(file.content))}))
		_, err := io.WriteString(w, file.content)
		require.NoError(t, err)
	}
	require.NoError(t, errors.Join(w.Close(), zipped.Close()))
	return out.Bytes()
}

// upload sends as much of a package as told, and then all when it may go on, and returns the package that is stored.
func (r *runtime) upload(ctx context.Context, content []byte) (*runtimev1.Package, error) {
	stream, err := runtimev1.NewPackageServiceClient(r.conn).UploadPackage(ctx)
	if err != nil {
		return nil, err
	}
	for len(content) > 0 {
		n := min(len(content), 256<<10)
		if err := stream.Send(&runtimev1.UploadPackageRequest{Chunk: content[:n]}); err != nil {
			break // Recv tells why
		}
		content = content[n:]
	}
	if err := stream.CloseSend(); err != nil {
		return nil, err
	}
	for {
		answer, err := stream.Recv()
		if err != nil {
			return nil, err
		}
		if answer.GetPackage() != nil {
			return answer.GetPackage(), nil
		}
	}
}

func TestWhatAKilledUploadLeavesIsSweptAtTheNextStart(t *testing.T) {
	r := openRuntime(t)
	stored, err := r.upload(r.trusted(t), packageOf(t, "prices-v1", 1<<10))
	require.NoError(t, err)
	require.Equal(t, "prices-v1", stored.GetVersion())
	before := r.store.Keys(t, bucket)
	require.Len(t, before, 5)

	large := packageOf(t, "prices-v2", 40<<20)
	for range 3 {
		ended := make(chan error, 1)
		ctx := r.trusted(t)
		go func() { _, err := r.upload(ctx, large); ended <- err }()
		require.Eventually(t, func() bool { return len(r.store.Keys(t, bucket)) > len(before) }, time.Minute, time.Millisecond)
		r.kill(t)
		require.Equal(t, codes.Unavailable, status.Code(<-ended))
		require.NoError(t, os.RemoveAll(r.ready))
		r.start(t)
		require.Eventually(t, func() bool { return len(r.store.Keys(t, bucket)) == len(before) }, time.Minute, 10*time.Millisecond)
		require.Equal(t, before, r.store.Keys(t, bucket))
	}

	_, err = r.upload(r.trusted(t), large)
	require.NoError(t, err)
	fetched, err := runtimev1.NewPackageServiceClient(r.conn).FetchPackage(r.trusted(t),
		&runtimev1.FetchPackageRequest{Version: "prices-v1", Digest: stored.GetDigest()})
	require.NoError(t, err)
	files := 0
	for {
		piece, err := fetched.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		require.NoError(t, err)
		if piece.GetFile() != nil {
			files++
		}
	}
	require.Equal(t, 4, files)
}
