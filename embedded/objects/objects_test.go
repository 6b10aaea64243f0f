package objects_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/konstellation-io/kre/embedded/objects"
)

const (
	accessKey, secretKey = "kre", "not so secret"

	bucket = "kre-test"

	// serve names the directory that a child of this test serves.
	serve = "KRE_TEST_SERVE"
	// address is where it has to listen; empty: anywhere.
	address = "KRE_TEST_ADDR"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(serve); dir != "" {
		s, err := objects.Start(context.Background(), options(dir))
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		fmt.Println(s.Addr())
		select {} // until it is killed
	}
	os.Exit(m.Run())
}

func options(dir string) objects.Options {
	return objects.Options{Dir: dir, Addr: os.Getenv(address), AccessKey: accessKey, SecretKey: secretKey}
}

func start(t *testing.T, dir string) *objects.Server {
	t.Helper()
	s, err := objects.Start(t.Context(), options(dir))
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, s.Close()) })
	return s
}

func connect(t *testing.T, addr string) *minio.Client {
	t.Helper()
	client, err := minio.New(addr, &minio.Options{Creds: credentials.NewStaticV4(accessKey, secretKey, "")})
	require.NoError(t, err)
	return client
}

// withBucket is a client of a new server that has a bucket.
func withBucket(t *testing.T) *minio.Client {
	t.Helper()
	client := connect(t, start(t, t.TempDir()).Addr())
	require.NoError(t, client.MakeBucket(t.Context(), bucket, minio.MakeBucketOptions{}))
	return client
}

func put(t *testing.T, client *minio.Client, key, content string) {
	t.Helper()
	_, err := client.PutObject(t.Context(), bucket, key, strings.NewReader(content), int64(len(content)), minio.PutObjectOptions{})
	require.NoError(t, err)
}

func get(t *testing.T, client *minio.Client, key string) string {
	t.Helper()
	object, err := client.GetObject(t.Context(), bucket, key, minio.GetObjectOptions{})
	require.NoError(t, err)
	content, err := io.ReadAll(object)
	require.NoError(t, err)
	require.NoError(t, object.Close())
	return string(content)
}

func keys(t *testing.T, client *minio.Client, prefix string) []string {
	t.Helper()
	found := []string{}
	for o := range client.ListObjects(t.Context(), bucket, minio.ListObjectsOptions{Prefix: prefix, Recursive: true}) {
		require.NoError(t, o.Err)
		found = append(found, o.Key)
	}
	return found
}

func TestTakesAStreamOfUnknownLength(t *testing.T) {
	client := withBucket(t)
	content := make([]byte, 20<<20) // more than one part
	_, err := rand.Read(content)
	require.NoError(t, err)
	_, err = client.PutObject(t.Context(), bucket, "uploads/1/big", io.MultiReader(bytes.NewReader(content)), -1,
		minio.PutObjectOptions{PartSize: 8 << 20, UserMetadata: map[string]string{"Kind": "model"}})
	require.NoError(t, err)

	info, err := client.StatObject(t.Context(), bucket, "uploads/1/big", minio.StatObjectOptions{})
	require.NoError(t, err)
	require.EqualValues(t, len(content), info.Size)
	require.Equal(t, "model", info.UserMetadata["Kind"])
	require.Equal(t, sha256.Sum256(content), sha256.Sum256([]byte(get(t, client, "uploads/1/big"))))
}

func TestCopiesWithinTheServer(t *testing.T) {
	client := withBucket(t)
	put(t, client, "uploads/1/model", "weights")
	_, err := client.CopyObject(t.Context(), minio.CopyDestOptions{Bucket: bucket, Object: "files/abc"},
		minio.CopySrcOptions{Bucket: bucket, Object: "uploads/1/model"})
	require.NoError(t, err)
	require.NoError(t, client.RemoveObject(t.Context(), bucket, "uploads/1/model", minio.RemoveObjectOptions{}))
	require.Equal(t, "weights", get(t, client, "files/abc"))
	require.Equal(t, []string{"files/abc"}, keys(t, client, ""))
}

func TestReadsAPartOfAnObject(t *testing.T) {
	client := withBucket(t)
	put(t, client, "a", "0123456789")
	var o minio.GetObjectOptions
	require.NoError(t, o.SetRange(2, 4))
	object, err := client.GetObject(t.Context(), bucket, "a", o)
	require.NoError(t, err)
	part, err := io.ReadAll(object)
	require.NoError(t, err)
	require.Equal(t, "234", string(part))
}

func TestListsByPrefixInOrder(t *testing.T) {
	client := withBucket(t)
	for _, key := range []string{"b/2", "a/1", "b/10", "b/1", "c"} {
		put(t, client, key, key)
	}
	require.Equal(t, []string{"b/1", "b/10", "b/2"}, keys(t, client, "b/"))
	require.Equal(t, []string{"a/1", "b/1", "b/10", "b/2", "c"}, keys(t, client, ""))
}

func TestRemovesManyObjectsAtOnceAndThenTheBucket(t *testing.T) {
	client := withBucket(t)
	for i := range 20 {
		put(t, client, fmt.Sprintf("x/%d", i), "x")
	}
	require.Error(t, client.RemoveBucket(t.Context(), bucket))
	for result := range client.RemoveObjects(t.Context(), bucket,
		client.ListObjects(t.Context(), bucket, minio.ListObjectsOptions{Recursive: true}), minio.RemoveObjectsOptions{}) {
		require.NoError(t, result.Err)
	}
	require.Empty(t, keys(t, client, ""))
	require.NoError(t, client.RemoveBucket(t.Context(), bucket))
	exists, err := client.BucketExists(t.Context(), bucket)
	require.NoError(t, err)
	require.False(t, exists)
}

func TestSaysWhatIsNotThereAndWhatIsThereAlready(t *testing.T) {
	client := withBucket(t)
	_, err := client.StatObject(t.Context(), bucket, "missing", minio.StatObjectOptions{})
	require.Equal(t, minio.NoSuchKey, minio.ToErrorResponse(err).Code)
	_, err = client.StatObject(t.Context(), "kre-other", "missing", minio.StatObjectOptions{})
	require.Error(t, err)
	err = client.MakeBucket(t.Context(), bucket, minio.MakeBucketOptions{})
	require.Equal(t, minio.BucketAlreadyOwnedByYou, minio.ToErrorResponse(err).Code)
}

func TestRefusesAClientWithAnotherSecret(t *testing.T) {
	s := start(t, t.TempDir())
	client, err := minio.New(s.Addr(), &minio.Options{Creds: credentials.NewStaticV4(accessKey, "guessed", "")})
	require.NoError(t, err)
	_, err = client.ListBuckets(t.Context())
	require.Equal(t, minio.SignatureDoesNotMatch, minio.ToErrorResponse(err).Code)
	client, err = minio.New(s.Addr(), &minio.Options{})
	require.NoError(t, err)
	_, err = client.ListBuckets(t.Context())
	require.Equal(t, minio.AccessDenied, minio.ToErrorResponse(err).Code)
}

func TestFindsItsObjectsAgainAfterARestart(t *testing.T) {
	dir := t.TempDir()
	s, err := objects.Start(t.Context(), options(dir))
	require.NoError(t, err)
	client := connect(t, s.Addr())
	require.NoError(t, client.MakeBucket(t.Context(), bucket, minio.MakeBucketOptions{}))
	put(t, client, "kept", "x")
	require.NoError(t, s.Close())

	client = connect(t, start(t, dir).Addr())
	require.Equal(t, "x", get(t, client, "kept"))
}

func TestKeepsWhatItConfirmedWhenItsProcessIsKilled(t *testing.T) {
	dir := t.TempDir()
	const rounds, each = 3, 20
	for round := range rounds {
		child := exec.Command(os.Args[0])
		child.Env = append(os.Environ(), serve+"="+dir)
		var stderr strings.Builder
		child.Stderr = &stderr
		stdout, err := child.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, child.Start())
		addr, err := bufio.NewReader(stdout).ReadString('\n')
		require.NoError(t, err)

		client := connect(t, strings.TrimSpace(addr))
		if round == 0 {
			require.NoError(t, client.MakeBucket(t.Context(), bucket, minio.MakeBucketOptions{}))
		}
		for i := range each {
			put(t, client, fmt.Sprintf("%d/%d", round, i), "x")
		}
		require.NoError(t, child.Process.Signal(syscall.SIGKILL))
		require.Error(t, child.Wait())
		require.Empty(t, stderr.String(), "it tells nobody but its logger")
	}
	client := connect(t, start(t, dir).Addr())
	require.Len(t, keys(t, client, ""), rounds*each)
}

func TestKeepsMetadataInFilesWhereItBeganSo(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "metadata"), 0o700))
	client := connect(t, start(t, dir).Addr())
	require.NoError(t, client.MakeBucket(t.Context(), bucket, minio.MakeBucketOptions{}))
	_, err := client.PutObject(t.Context(), bucket, "a", strings.NewReader("x"), 1,
		minio.PutObjectOptions{UserMetadata: map[string]string{"Kind": "model"}})
	require.NoError(t, err)
	info, err := client.StatObject(t.Context(), bucket, "a", minio.StatObjectOptions{})
	require.NoError(t, err)
	require.Equal(t, "model", info.UserMetadata["Kind"])
	_, err = os.Stat(filepath.Join(dir, "metadata", bucket, "a"))
	require.NoError(t, err)
}

func TestRestoresTheWorkingDirectory(t *testing.T) {
	before, err := os.Getwd()
	require.NoError(t, err)
	s, err := objects.Start(t.Context(), options(t.TempDir()))
	require.NoError(t, err)
	_, err = objects.Start(t.Context(), options(t.TempDir()))
	require.ErrorContains(t, err, "there can be one only")
	require.NoError(t, s.Close())
	after, err := os.Getwd()
	require.NoError(t, err)
	require.Equal(t, before, after)
}

func TestRefusesToListenForOtherMachines(t *testing.T) {
	o := options(t.TempDir())
	o.Addr = "0.0.0.0:0"
	_, err := objects.Start(t.Context(), o)
	require.ErrorContains(t, err, "not a loopback address")
}

func TestSaysWhyItCannotStart(t *testing.T) {
	first := start(t, t.TempDir())
	addr := first.Addr()
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), serve+"="+t.TempDir(), address+"="+addr)
	output, err := child.CombinedOutput()
	require.Error(t, err)
	require.Contains(t, string(output), "address already in use")
}

func TestEndsAlsoInTheMomentInWhichItHasBegun(t *testing.T) {
	for range 200 {
		s, err := objects.Start(t.Context(), options(t.TempDir()))
		require.NoError(t, err)
		require.NoError(t, s.Close())
	}
}
