package packages_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"io"
	"strings"
	"testing"

	"github.com/minio/minio-go/v7"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/konstellation-io/kre/krt/archive"
	"github.com/konstellation-io/kre/runtime-api/internal/packages"
	"github.com/konstellation-io/kre/runtime-api/internal/s3"
	"github.com/konstellation-io/kre/runtime-api/internal/storetest"
)

func TestMain(m *testing.M) { storetest.Main(m) }

const bucket = "kre-prod"

// store is a real object store with a service on top.
type store struct {
	*packages.Service
	server *storetest.Server
}

func open(t *testing.T) *store {
	t.Helper()
	return openWith(t, packages.Options{})
}

func openWith(t *testing.T, opts packages.Options) *store {
	t.Helper()
	s := &store{server: storetest.Start(t, t.TempDir())}
	s.Service = s.service(t, opts)
	return s
}

// service is another service on the same bucket.
func (s *store) service(t *testing.T, opts packages.Options) *packages.Service {
	t.Helper()
	objects, err := s3.New(s3.Options{
		Endpoint: s.server.Endpoint, AccessKey: storetest.AccessKey, SecretKey: storetest.SecretKey, Bucket: bucket,
	})
	require.NoError(t, err)
	require.NoError(t, objects.Wait(t.Context(), zap.NewNop()))
	return packages.New(objects, opts)
}

func (s *store) keys(t *testing.T) []string {
	t.Helper()
	return s.server.Keys(t, bucket)
}

// put stores an object past the service.
func (s *store) put(t *testing.T, key, content string) {
	t.Helper()
	_, err := s.server.Client(t).PutObject(t.Context(), bucket, key, strings.NewReader(content), int64(len(content)), minio.PutObjectOptions{})
	require.NoError(t, err)
}

// begin begins an object past the service and never finishes it.
func (s *store) begin(t *testing.T, key string) {
	t.Helper()
	core := minio.Core{Client: s.server.Client(t)}
	id, err := core.NewMultipartUpload(t.Context(), bucket, key, minio.PutObjectOptions{})
	require.NoError(t, err)
	_, err = core.PutObjectPart(t.Context(), bucket, key, id, 1, strings.NewReader("begun"), 5, minio.PutObjectPartOptions{})
	require.NoError(t, err)
}

// upload uploads a package and returns what was found of it before its end too.
func (s *store) upload(t *testing.T, content io.Reader) (*packages.Package, error) {
	t.Helper()
	told := 0
	p, err := s.Upload(t.Context(), content, func(packages.Manifest) error { told++; return nil })
	if err == nil {
		require.Equal(t, 1, told, "the manifest is told once")
	}
	return p, err
}

func (s *store) mustUpload(t *testing.T, content io.Reader) *packages.Package {
	t.Helper()
	p, err := s.upload(t, content)
	require.NoError(t, err)
	return p
}

// entry is an entry of an archive; a file unless it says otherwise.
type entry struct {
	name string
	body string
	kind byte
	mode int64
	link string
}

func tarOf(t *testing.T, entries ...entry) []byte {
	t.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, e := range entries {
		header := &tar.Header{Typeflag: tar.TypeReg, Name: e.name, Linkname: e.link, Mode: 0o644, Size: int64(len(e.body))}
		if e.kind != 0 {
			header.Typeflag = e.kind
		}
		if e.mode != 0 {
			header.Mode = e.mode
		}
		require.NoError(t, w.WriteHeader(header))
		_, err := io.WriteString(w, e.body)
		require.NoError(t, err)
	}
	require.NoError(t, w.Close())
	return out.Bytes()
}

func gzipped(t *testing.T, content []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := gzip.NewWriterLevel(&out, gzip.NoCompression) // quick
	require.NoError(t, err)
	_, err = w.Write(content)
	require.NoError(t, err)
	require.NoError(t, w.Close())
	return out.Bytes()
}

// krt is an archive of the entries.
func krt(t *testing.T, entries ...entry) io.Reader {
	t.Helper()
	return bytes.NewReader(gzipped(t, tarOf(t, entries...)))
}

// manifestOf is the manifest of a version with one node.
func manifestOf(version string) string {
	return `krtVersion: v2
version: ` + version + `
description: Estimates prices.
entrypoint: {proto: public.proto}
config: {variables: [CURRENCY], files: [RATES]}
workflows:
  - name: estimate
    entrypoint: Estimate
    exitpoint: model
    nodes:
      - {name: model, image: go, src: bin/model, replicas: 2, subscriptions: [entrypoint]}
`
}

const proto = `syntax = "proto3";
package prices;
service Prices { rpc Estimate(House) returns (Price); }
message House { int32 rooms = 1; }
message Price { double euros = 1; }
`

// prices are the files of a good package.
func prices(version string, more ...entry) []entry {
	return append([]entry{
		{name: "krt.yml", body: manifestOf(version)},
		{name: "public.proto", body: proto},
		{name: "bin/model", body: "#!/bin/sh\n", mode: 0o755},
	}, more...)
}

// fetch downloads a package: contents by path, and the digest of what has arrived.
func (s *store) fetch(t *testing.T, version, digest string) map[string]string {
	t.Helper()
	contents := map[string]string{}
	var files []archive.File
	err := s.Fetch(t.Context(), version, digest, func(file archive.File, content io.Reader) error {
		body, err := io.ReadAll(content)
		contents[file.Path] = string(body)
		files = append(files, file)
		return err
	})
	require.NoError(t, err)
	require.Equal(t, digest, archive.Digest(files))
	return contents
}

func nothing(packages.Manifest) error { return nil }

// cutting reads a beginning and then fails, or goes on once it may.
type cutting struct {
	io.Reader
	reached chan struct{} // closed when the beginning has been read; may be nil
	goOn    <-chan error  // what it fails with; nil: it ends
}

func (c *cutting) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	if err != io.EOF || n > 0 { //nolint:errorlint // of a buffer
		return n, nil
	}
	if c.reached != nil {
		close(c.reached)
		c.reached = nil
	}
	if err := <-c.goOn; err != nil {
		return 0, err
	}
	return 0, io.EOF
}

// both reads the one and then the other.
type both struct {
	first *cutting
	rest  *bytes.Reader
}

func (b *both) Read(p []byte) (int, error) {
	if b.first != nil {
		n, err := b.first.Read(p)
		if err != io.EOF { //nolint:errorlint // of a buffer
			return n, err
		}
		b.first = nil
	}
	return b.rest.Read(p)
}
