// Package storetest runs an object store in a process of its own, for tests only: the one that the platform brings along.
package storetest

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/konstellation-io/kre/embedded/objects" //nolint:depguard // tests run against the store that people run
)

// The store's one account.
const (
	AccessKey = "kre"
	SecretKey = "not so secret"
)

const (
	// serveDir names the directory that a child of a test serves, serveAt where it has to listen; empty: anywhere.
	serveDir = "KRE_TEST_STORE_DIR"
	serveAt  = "KRE_TEST_STORE_ADDR"
)

// Main takes the place of m.Run in the TestMain of packages that use Start.
func Main(m *testing.M) {
	Serve()
	os.Exit(m.Run())
}

// Serve serves and never returns in a child of a test, which is the same program; otherwise it does nothing. It comes first
// in a TestMain.
func Serve() {
	dir := os.Getenv(serveDir)
	if dir == "" {
		return
	}
	if err := serve(dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// serve serves until nobody holds its input any more.
func serve(dir string) error {
	server, err := objects.Start(context.Background(), objects.Options{
		Dir: dir, Addr: os.Getenv(serveAt), AccessKey: AccessKey, SecretKey: SecretKey,
	})
	if err != nil {
		return err
	}
	fmt.Println(server.Addr())
	_, err = io.Copy(io.Discard, os.Stdin) // it ends with who started it, and waits for no connection
	return err
}

// Server is a running store.
type Server struct {
	Endpoint string
	Dir      string
	addr     string
	stop     func()
}

// Start starts a store over a directory, which ends with the test.
func Start(t *testing.T, dir string) *Server {
	t.Helper()
	s := &Server{Dir: dir}
	s.Start(t)
	return s
}

// Start starts it again after Kill, where it was.
func (s *Server) Start(t *testing.T) {
	t.Helper()
	process := exec.Command(os.Args[0])
	process.Env = append(os.Environ(), serveDir+"="+s.Dir, serveAt+"="+s.addr)
	process.Stderr = os.Stderr
	stdin, err := process.StdinPipe()
	require.NoError(t, err)
	stdout, err := process.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, process.Start())
	s.stop = sync.OnceFunc(func() {
		assert.NoError(t, process.Process.Kill())
		_ = stdin.Close()  // it was held so that the store ends with this process
		_ = process.Wait() // that it was killed is known
	})
	t.Cleanup(s.stop)
	addr, err := bufio.NewReader(stdout).ReadString('\n')
	require.NoError(t, err)
	s.addr = strings.TrimSpace(addr)
	s.Endpoint = "http://" + s.addr
}

// Kill ends it at once.
func (s *Server) Kill() {
	s.stop()
}

// Client is a client of the store.
func (s *Server) Client(t *testing.T) *minio.Client {
	t.Helper()
	client, err := minio.New(s.addr, &minio.Options{Creds: credentials.NewStaticV4(AccessKey, SecretKey, "")})
	require.NoError(t, err)
	return client
}

// Keys are those of all objects in a bucket, and of those that were begun and never finished, which end in "…". It is nil
// where there is no bucket.
func (s *Server) Keys(t *testing.T, bucket string) []string {
	t.Helper()
	client := s.Client(t)
	exists, err := client.BucketExists(t.Context(), bucket)
	require.NoError(t, err)
	if !exists {
		return nil
	}
	found := []string{}
	for object := range client.ListObjects(t.Context(), bucket, minio.ListObjectsOptions{Recursive: true}) {
		require.NoError(t, object.Err)
		found = append(found, object.Key)
	}
	for object := range client.ListIncompleteUploads(t.Context(), bucket, "", true) {
		require.NoError(t, object.Err)
		found = append(found, object.Key+"…")
	}
	return found
}
