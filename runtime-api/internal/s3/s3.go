// Package s3 is an object store that understands S3, as the packages of a runtime need it: one bucket.
package s3

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"go.uber.org/zap"

	"github.com/konstellation-io/kre/kit/fault"
	"github.com/konstellation-io/kre/runtime-api/internal/packages"
)

const (
	// partSize is how much of an object is sent by one request, and held meanwhile so that it can be sent again.
	partSize = 8 << 20
	// maxParts is how many parts an object may have.
	maxParts = 10_000
	// maxCopy is how large an object may be that one request copies.
	maxCopy = 5 << 30
	// attempts is how often a request is made before its failure counts: within about two seconds.
	attempts = 5
	// answerLimit is how long an answer may take to begin; a large object is copied before it does.
	answerLimit = 10 * time.Minute
	// unreachableLimit is how long a connection may take.
	unreachableLimit = 5 * time.Second
)

// Options say where the store is.
type Options struct {
	Endpoint  string // http://host:port or https://host:port
	AccessKey string
	SecretKey string
	Bucket    string
}

// Store is one bucket of an object store.
type Store struct {
	client *minio.Client
	bucket string
	host   string // for errors
}

var _ packages.Store = (*Store)(nil)

// New returns the bucket, without asking the store for anything.
func New(o Options) (*Store, error) {
	endpoint, err := url.Parse(o.Endpoint)
	if err != nil || endpoint.Host == "" || endpoint.Scheme != "http" && endpoint.Scheme != "https" {
		return nil, fmt.Errorf("object store %q: want http://host:port or https://host:port", o.Endpoint)
	}
	if o.Bucket == "" {
		return nil, errors.New("object store: name the bucket of the packages")
	}
	secure := endpoint.Scheme == "https"
	transport, err := newTransport(secure)
	if err != nil {
		return nil, fmt.Errorf("object store: %w", err)
	}
	client, err := minio.New(endpoint.Host, &minio.Options{
		Creds: credentials.NewStaticV4(o.AccessKey, o.SecretKey, ""), Secure: secure, Transport: transport, MaxRetries: attempts,
	})
	if err != nil {
		return nil, fmt.Errorf("object store %q: %w", o.Endpoint, err)
	}
	return &Store{client: client, bucket: o.Bucket, host: endpoint.Host}, nil
}

func newTransport(secure bool) (*http.Transport, error) {
	transport, err := minio.DefaultTransport(secure)
	if err != nil {
		return nil, err
	}
	transport.DialContext = (&net.Dialer{Timeout: unreachableLimit}).DialContext
	transport.ResponseHeaderTimeout = answerLimit
	return transport, nil
}

// Wait returns when the store answers. Until then it logs what keeps it. The error is that of ctx.
func (s *Store) Wait(ctx context.Context, logger *zap.Logger) error {
	const pause = time.Second
	told := ""
	for {
		_, err := s.client.BucketExists(ctx, s.bucket)
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if text := err.Error(); text != told {
			logger.Warn("the object store is not ready", zap.String("store", s.host), zap.String("bucket", s.bucket), zap.Error(err))
			told = text
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Make makes the bucket unless it is there.
func (s *Store) Make(ctx context.Context) error {
	exists, err := s.client.BucketExists(ctx, s.bucket)
	if err != nil || exists {
		return s.told(ctx, err, "look for bucket %s", s.bucket)
	}
	err = s.client.MakeBucket(ctx, s.bucket, minio.MakeBucketOptions{})
	if minio.ToErrorResponse(err).Code == minio.BucketAlreadyOwnedByYou {
		return nil
	}
	return s.told(ctx, err, "make bucket %s", s.bucket)
}

// Drop removes the bucket if it is empty and may be removed.
func (s *Store) Drop(ctx context.Context) error {
	err := s.client.RemoveBucket(ctx, s.bucket)
	switch minio.ToErrorResponse(err).Code {
	case minio.BucketNotEmpty, minio.NoSuchBucket, minio.AccessDenied:
		return nil
	}
	return s.told(ctx, err, "remove bucket %s", s.bucket)
}

// Put stores size bytes of content under a key. No more than partSize of them is held at a time.
func (s *Store) Put(ctx context.Context, key string, content io.Reader, size int64) error {
	read := &source{r: content}
	var body io.Reader = read
	if size <= partSize { // goes in one request, which is made again only if its content can be
		held, again := content.(*bytes.Reader)
		if !again {
			part := make([]byte, size)
			if _, err := io.ReadFull(content, part); err != nil {
				return err
			}
			held = bytes.NewReader(part)
		}
		body = held
	}
	_, err := s.client.PutObject(ctx, s.bucket, key, body, size, minio.PutObjectOptions{
		PartSize: max(partSize, uint64((size+maxParts-1)/maxParts)), NumThreads: 1,
		// An empty object is sent without signed chunks, of which there would be the last only: versitygw leaves that unread
		// and takes it for the next request of the connection.
		DisableContentSha256: size == 0,
	})
	if read.err != nil {
		return read.err
	}
	return s.told(ctx, err, "store %s", key)
}

// source remembers why no more could be read.
type source struct {
	r   io.Reader
	err error
}

func (s *source) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	if err != nil && err != io.EOF { //nolint:errorlint // a failure may wrap one
		s.err = err
	}
	return n, err
}

// Get opens an object.
func (s *Store) Get(ctx context.Context, key string) (io.ReadCloser, error) {
	object, err := s.client.GetObject(ctx, s.bucket, key, minio.GetObjectOptions{})
	if err != nil {
		return nil, s.told(ctx, err, "read %s", key)
	}
	if _, err := object.Stat(); err != nil { // only now it is asked for
		_ = object.Close() // nothing was opened
		if minio.ToErrorResponse(err).Code == minio.NoSuchBucket {
			return nil, fault.Wrap(fault.NotFound, err, "read %s: there is no such object", key)
		}
		return nil, s.told(ctx, err, "read %s", key)
	}
	return &opened{Object: object, told: func(err error) error { return s.told(ctx, err, "read %s", key) }}, nil
}

// opened is an object that is being read.
type opened struct {
	*minio.Object
	told func(error) error
}

func (o *opened) Read(p []byte) (int, error) {
	n, err := o.Object.Read(p)
	if err != nil && err != io.EOF { //nolint:errorlint // a failure may wrap one
		err = o.told(err)
	}
	return n, err
}

// Place copies an object unless there is one already where it goes.
func (s *Store) Place(ctx context.Context, from, to string, size int64) error {
	_, err := s.client.StatObject(ctx, s.bucket, to, minio.StatObjectOptions{})
	if err == nil {
		return nil
	}
	if minio.ToErrorResponse(err).Code != minio.NoSuchKey {
		return s.told(ctx, err, "look for %s", to)
	}
	source, destination := minio.CopySrcOptions{Bucket: s.bucket, Object: from}, minio.CopyDestOptions{Bucket: s.bucket, Object: to}
	if size > maxCopy {
		_, err = s.client.ComposeObject(ctx, destination, source)
	} else {
		_, err = s.client.CopyObject(ctx, destination, source)
	}
	return s.told(ctx, err, "copy %s to %s", from, to)
}

// List yields the objects whose keys begin with a prefix, the unfinished ones last.
func (s *Store) List(ctx context.Context, prefix string) iter.Seq2[packages.Object, error] {
	return func(yield func(packages.Object, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel() // ends the listing of what is unfinished
		for object := range s.client.ListObjectsIter(ctx, s.bucket, minio.ListObjectsOptions{Prefix: prefix, Recursive: true}) {
			if minio.ToErrorResponse(object.Err).Code == minio.NoSuchBucket {
				return
			}
			if object.Err != nil {
				yield(packages.Object{}, s.told(ctx, object.Err, "list %s", prefix))
				return
			}
			if !yield(packages.Object{Key: object.Key}, nil) {
				return
			}
		}
		for object := range s.client.ListIncompleteUploads(ctx, s.bucket, prefix, true) {
			if object.Err != nil {
				yield(packages.Object{}, s.told(ctx, object.Err, "list what is unfinished of %s", prefix))
				return
			}
			if !yield(packages.Object{Key: object.Key, Unfinished: true}, nil) {
				return
			}
		}
		if ctx.Err() != nil { // which may have ended the listings in silence
			yield(packages.Object{}, fmt.Errorf("list %s: %w", prefix, ctx.Err()))
		}
	}
}

// Remove removes objects, as many at once as the store takes.
func (s *Store) Remove(ctx context.Context, objects []packages.Object) error {
	if len(objects) == 0 {
		return nil
	}
	results, err := s.client.RemoveObjectsWithIter(ctx, s.bucket, finished(objects), minio.RemoveObjectsOptions{})
	if err != nil {
		return s.told(ctx, err, "remove objects")
	}
	var failed error
	for result := range results {
		if result.Err != nil && !absent(result.Err) && failed == nil {
			failed = s.told(ctx, result.Err, "remove %s", result.ObjectName)
		}
	}
	if failed == nil && ctx.Err() != nil { // which may have ended it in silence
		failed = fmt.Errorf("remove objects: %w", ctx.Err())
	}
	if failed != nil {
		return failed
	}
	for _, object := range objects {
		if !object.Unfinished {
			continue
		}
		if err := s.client.RemoveIncompleteUpload(ctx, s.bucket, object.Key); err != nil && !absent(err) {
			return s.told(ctx, err, "remove what is unfinished of %s", object.Key)
		}
	}
	return nil
}

// quotaExceeded is what the store says where it may not take more, though its disk has room.
const quotaExceeded = "QuotaExceeded"

// noSuchUpload is what the store says of an unfinished object that somebody else removed first.
const noSuchUpload = "NoSuchUpload"

// absent tells whether the store says that there is no such thing.
func absent(err error) bool {
	code := minio.ToErrorResponse(err).Code
	return code == minio.NoSuchKey || code == minio.NoSuchBucket || code == noSuchUpload
}

func finished(objects []packages.Object) iter.Seq[minio.ObjectInfo] {
	return func(yield func(minio.ObjectInfo) bool) {
		for _, object := range objects {
			if !object.Unfinished && !yield(minio.ObjectInfo{Key: object.Key}) {
				return
			}
		}
	}
}

// told is the error of a request as the domain knows errors; the driver's text is for the log.
func (s *Store) told(ctx context.Context, err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	doing := fmt.Sprintf(format, args...)
	if ctx.Err() != nil {
		return fmt.Errorf("%s: %w", doing, ctx.Err())
	}
	var answer minio.ErrorResponse
	if !errors.As(err, &answer) { // it did not answer, not even with an error
		return s.away(err)
	}
	switch {
	case answer.Code == minio.NoSuchKey:
		return fault.Wrap(fault.NotFound, err, "%s: there is no such object", doing)
	case answer.StatusCode == http.StatusInsufficientStorage, answer.Code == quotaExceeded:
		return fault.Wrap(fault.Exhausted, err, "the object store at %s is full; make room there, and ask the same again", s.host)
	case answer.Code == minio.NoSuchBucket, answer.StatusCode >= http.StatusInternalServerError, answer.StatusCode == http.StatusTooManyRequests:
		return s.away(err)
	}
	return fmt.Errorf("%s: %w", doing, err)
}

func (s *Store) away(err error) error {
	return fault.Wrap(fault.Unavailable, err, "the object store at %s does not answer; the same may be asked again in a moment", s.host)
}
