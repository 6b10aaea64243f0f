package packages_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/konstellation-io/kre/kit/fault"
	"github.com/konstellation-io/kre/runtime-api/internal/packages"
)

func TestDeletingRemovesWhatNoOtherVersionHas(t *testing.T) {
	s := open(t)
	shared, own := entry{name: "model.bin", body: "weights"}, entry{name: "own.bin", body: "own"}
	s.mustUpload(t, krt(t, prices("prices-v1", shared, own)...))
	second := s.mustUpload(t, krt(t, prices("prices-v2", shared)...))

	require.NoError(t, s.Delete(t.Context(), "prices-v1"))
	keys := s.keys(t)
	require.NotContains(t, keys, keyOf("own"))
	require.NotContains(t, keys, keyOf(manifestOf("prices-v1")))
	require.NotContains(t, keys, "versions/prices-v1.json")
	require.Equal(t, "weights", s.fetch(t, "prices-v2", second.Digest)["model.bin"])
	_, err := s.Get(t.Context(), "prices-v1")
	require.Equal(t, fault.NotFound, fault.KindOf(err))

	require.NoError(t, s.Delete(t.Context(), "prices-v1"), "what is not there is no error")
	require.NoError(t, s.Delete(t.Context(), "prices-v2"))
	require.Empty(t, s.keys(t))
}

func TestUploadsAndDeletionsAtOnceLoseNothingThatIsNamed(t *testing.T) {
	s := open(t)
	shared := entry{name: "model.bin", body: "weights"}
	kept := make(chan error, 4)
	gone := make(chan error, 4)
	for i := range 4 {
		s.mustUpload(t, krt(t, prices(fmt.Sprintf("old-%d", i), shared)...))
	}
	for i := range 4 {
		content := krt(t, prices(fmt.Sprintf("new-%d", i), shared)...)
		go func() { _, err := s.Upload(context.Background(), content, nothing); kept <- err }()
		go func() { gone <- s.Delete(context.Background(), fmt.Sprintf("old-%d", i)) }()
	}
	for range 4 {
		require.NoError(t, <-kept)
		require.NoError(t, <-gone)
	}
	digests, err := s.List(t.Context())
	require.NoError(t, err)
	require.Len(t, digests, 4)
	for version, digest := range digests {
		require.Equal(t, "weights", s.fetch(t, version, digest)["model.bin"])
	}
	for version := range digests {
		require.NoError(t, s.Delete(t.Context(), version))
	}
	require.Empty(t, s.keys(t))
}

func TestASweepRemovesWhatIsAbandonedAndNothingElse(t *testing.T) {
	s := open(t)
	stored := s.mustUpload(t, krt(t, prices("prices-v1")...))
	before := s.keys(t)
	hourAgo, now := time.Now().Add(-time.Hour).UnixMilli(), time.Now().UnixMilli()
	s.put(t, fmt.Sprintf("uploads/%d-old/0", hourAgo), "x")
	s.begin(t, fmt.Sprintf("uploads/%d-old/1", hourAgo))
	s.begin(t, fmt.Sprintf("uploads/%d-begun/0", hourAgo))
	s.put(t, "uploads/nameless/0", "x")
	s.put(t, fmt.Sprintf("uploads/%d-new/0", now), "x")
	s.put(t, keyOf("nobody names it"), "nobody names it")
	s.begin(t, keyOf("half of it"))

	require.NoError(t, s.Sweep(t.Context(), time.Minute))
	require.Equal(t, append(before[:len(before)-1:len(before)-1], fmt.Sprintf("uploads/%d-new/0", now), before[len(before)-1]), s.keys(t))
	require.NoError(t, s.Sweep(t.Context(), 0))
	require.Equal(t, before, s.keys(t))
	s.fetch(t, "prices-v1", stored.Digest)
}

func TestASweepLeavesAnUploadAloneThatGoesOn(t *testing.T) {
	s := open(t)
	zipped := gzipped(t, tarOf(t, prices("prices-v1", entry{name: "model.bin", body: big()})...))
	reached, goOn := make(chan struct{}), make(chan error)
	ended := make(chan error, 1)
	content := &both{first: &cutting{Reader: bytes.NewReader(zipped[:len(zipped)-100]), reached: reached, goOn: goOn}, rest: bytes.NewReader(zipped[len(zipped)-100:])}
	go func() {
		_, err := s.Upload(context.Background(), content, nothing)
		ended <- err
	}()
	<-reached
	before := s.keys(t)
	require.NotEmpty(t, before)
	require.NoError(t, s.Sweep(t.Context(), 0))
	require.Equal(t, before, s.keys(t))
	close(goOn)
	require.NoError(t, <-ended)
	for _, key := range s.keys(t) {
		require.False(t, strings.HasPrefix(key, "uploads/"), key)
	}
}

func TestAStoreThatDiesInTheMiddleIsUnavailableAndAfterItsReturnNothingIsLeft(t *testing.T) {
	t.Parallel()
	s := open(t)
	stored := s.mustUpload(t, krt(t, prices("prices-v1")...))
	before := s.keys(t)
	zipped := gzipped(t, tarOf(t, prices("prices-v2", entry{name: "model.bin", body: big()})...))
	reached, goOn := make(chan struct{}), make(chan error)
	content := &both{first: &cutting{Reader: bytes.NewReader(zipped[:len(zipped)-100]), reached: reached, goOn: goOn}, rest: bytes.NewReader(zipped[len(zipped)-100:])}
	ended := make(chan error, 1)
	go func() {
		_, err := s.Upload(context.Background(), content, nothing)
		ended <- err
	}()
	<-reached
	s.server.Kill()
	_, err := s.Get(t.Context(), "prices-v1")
	require.Equal(t, fault.Unavailable, fault.KindOf(err), "%v", err)
	require.Equal(t, fault.Unavailable, fault.KindOf(s.Delete(t.Context(), "prices-v1")))
	close(goOn)
	err = <-ended
	require.Equal(t, fault.Unavailable, fault.KindOf(err), "%v", err)

	s.server.Start(t)
	require.NoError(t, s.service(t, packages.Options{}).Sweep(t.Context(), 0))
	require.Equal(t, before, s.keys(t))
	s.fetch(t, "prices-v1", stored.Digest)
}

// fullAfter is a store like another one that takes a number of objects or parts, and then has no more room.
func fullAfter(t *testing.T, endpoint string, room int) (address string, full *atomic.Bool) {
	t.Helper()
	to, err := url.Parse(endpoint)
	require.NoError(t, err)
	var taken atomic.Int32
	full = new(atomic.Bool)
	through := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(to)
		r.Out.Host = r.In.Host // which is signed
	}}
	through.ErrorLog = log.New(io.Discard, "", 0) // requests that are given up
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPut && strings.Count(r.URL.Path, "/") > 1 && full.Load() && int(taken.Add(1)) > room {
			_, _ = io.Copy(io.Discard, r.Body)
			w.WriteHeader(http.StatusInsufficientStorage)
			_, _ = io.WriteString(w, "<Error><Code>InsufficientStorage</Code><Message>No space left on device.</Message></Error>")
			return
		}
		through.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	return server.URL, full
}

func TestAStoreThatIsFullSaysSoAndKeepsNothing(t *testing.T) {
	t.Parallel()
	for room := range 9 { // objects of three files, two parts of the big one, copies of two, the list
		t.Run(fmt.Sprintf("after %d", room), func(t *testing.T) {
			s := open(t)
			stored := s.mustUpload(t, krt(t, prices("prices-v1")...))
			before := s.keys(t)
			address, full := fullAfter(t, s.server.Endpoint, room)
			s.server.Endpoint = address
			s.Service = s.service(t, packages.Options{})
			full.Store(true)
			_, err := s.upload(t, krt(t, prices("prices-v2", entry{name: "model.bin", body: big()})...))
			if err == nil {
				require.Equal(t, 8, room)
				return
			}
			require.Equal(t, fault.Exhausted, fault.KindOf(err), "%v", err)
			require.Equal(t, before, s.keys(t))
			s.fetch(t, "prices-v1", stored.Digest)
		})
	}
}

func TestTheBucketIsThereOnlyWhileItHoldsSomething(t *testing.T) {
	s := open(t)
	require.Nil(t, s.keys(t), "not before the first package")
	digests, err := s.List(t.Context())
	require.NoError(t, err)
	require.Empty(t, digests)
	_, err = s.Get(t.Context(), "prices-v1")
	require.Equal(t, fault.NotFound, fault.KindOf(err))
	require.NoError(t, s.Sweep(t.Context(), 0))
	require.NoError(t, s.Delete(t.Context(), "prices-v1"))

	_, err = s.upload(t, strings.NewReader("no package"))
	require.Equal(t, fault.Invalid, fault.KindOf(err))
	require.Nil(t, s.keys(t), "a refused package leaves none")
	for _, version := range []string{"prices-v1", "prices-v2"} {
		s.mustUpload(t, krt(t, prices(version)...))
	}
	require.NoError(t, s.Delete(t.Context(), "prices-v1"))
	require.NotEmpty(t, s.keys(t))
	require.NoError(t, s.Delete(t.Context(), "prices-v2"))
	require.Nil(t, s.keys(t), "the last package takes it along")
	s.mustUpload(t, krt(t, prices("prices-v1")...))
}
