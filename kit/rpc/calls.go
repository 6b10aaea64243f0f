package rpc

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"runtime/debug"
	"strings"
	"time"

	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/konstellation-io/kre/kit/log"
)

// RequestIDKey is the metadata under which every answer, good or bad, carries the request's id.
const RequestIDKey = "x-request-id"

const (
	healthPrefix = "/grpc.health.v1.Health/"
	bearer       = "Bearer "
)

// calls is what happens around every call.
type calls struct {
	log     *zap.Logger
	token   string
	timeout time.Duration
}

func (c *calls) unary(ctx context.Context, request any, info *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
	id := rand.Text()
	// Fails only where there is no transport to answer on.
	_ = grpc.SetHeader(ctx, metadata.Pairs(RequestIDKey, id))
	if _, set := ctx.Deadline(); !set {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.timeout)
		defer cancel()
	}
	var answer any
	err := c.around(ctx, id, info.FullMethod, func() (err error) {
		answer, err = handle(ctx, request)
		return err
	})
	if err != nil {
		return nil, err
	}
	return answer, nil
}

func (c *calls) stream(service any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handle grpc.StreamHandler) error {
	id := rand.Text()
	_ = stream.SetHeader(metadata.Pairs(RequestIDKey, id))
	return c.around(stream.Context(), id, info.FullMethod, func() error { return handle(service, stream) })
}

// around lets a call through if it may pass, and returns its error as a status.
func (c *calls) around(ctx context.Context, id, method string, handle func() error) error {
	begun := time.Now()
	var err error
	if c.allowed(ctx, method) {
		err = recovered(handle)
	} else {
		err = status.Error(codes.Unauthenticated, "the call needs the service's token as bearer in the metadata `authorization`")
	}
	answer := Status(err, id)
	level := zap.InfoLevel
	switch {
	case answer.Code() == codes.Internal, answer.Code() == codes.Unknown:
		level = zap.ErrorLevel
	case strings.HasPrefix(method, healthPrefix):
		level = zap.DebugLevel // probes come every second
	}
	c.log.Log(level, "call", zap.String("method", method), zap.Stringer("code", answer.Code()),
		zap.Duration("took", time.Since(begun)), log.RequestID(id), log.Error(err))
	return answer.Err()
}

// allowed compares in a time that tells nothing about the token.
func (c *calls) allowed(ctx context.Context, method string) bool {
	if c.token == "" || strings.HasPrefix(method, healthPrefix) {
		return true
	}
	given := metadata.ValueFromIncomingContext(ctx, "authorization")
	if len(given) != 1 {
		return false
	}
	want, got := sha256.Sum256([]byte(bearer+c.token)), sha256.Sum256([]byte(given[0]))
	return subtle.ConstantTimeCompare(want[:], got[:]) == 1
}

// recovered turns a panic into an error, so that one call cannot end the process.
func recovered(handle func() error) (err error) {
	defer func() {
		if cause := recover(); cause != nil {
			err = fmt.Errorf("panic: %v\n%s", cause, debug.Stack())
		}
	}()
	return handle()
}
