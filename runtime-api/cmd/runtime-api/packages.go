package main

import (
	"context"
	"time"

	"go.uber.org/zap"
	"google.golang.org/grpc"

	"github.com/konstellation-io/kre/kit/boot"
	"github.com/konstellation-io/kre/krt/archive"
	"github.com/konstellation-io/kre/runtime-api/internal/grpcapi"
	"github.com/konstellation-io/kre/runtime-api/internal/packages"
	"github.com/konstellation-io/kre/runtime-api/internal/s3"
)

type packagesConfig struct {
	S3Endpoint      string `name:"s3-endpoint" help:"Object store of packages; empty: no packages are kept here." env:"KRE_S3_ENDPOINT" placeholder:"URL"`
	S3AccessKey     string `name:"s3-access-key" help:"Access key of the object store." env:"KRE_S3_ACCESS_KEY" secret:""`
	S3SecretKey     string `name:"s3-secret-key" help:"Secret key of the object store." env:"KRE_S3_SECRET_KEY" secret:""`
	S3Bucket        string `name:"s3-bucket" help:"Bucket of the runtime's packages; made with the first package, removed with the last." env:"KRE_S3_BUCKET"`
	MaxPackageBytes int64  `help:"Bytes that all files of a package may have together." default:"68719476736" env:"KRE_MAX_PACKAGE_BYTES"`
	MaxPackageFiles int    `help:"Files and folders that a package may have." default:"200000" env:"KRE_MAX_PACKAGE_FILES"`
}

const (
	// sweepEvery is how often the bucket is looked through for what nobody needs.
	sweepEvery = 10 * time.Minute
	// abandonedAfter is when an upload that this process knows nothing of is abandoned.
	abandonedAfter = time.Hour
)

// keepPackages serves the packages of the runtime and sweeps their bucket, if it is told where that is. What it returns
// waits for the object store.
func keepPackages(ctx context.Context, process *boot.Process, server grpc.ServiceRegistrar, config packagesConfig) (wait func(context.Context) error, err error) {
	if config.S3Endpoint == "" {
		return func(context.Context) error { return nil }, nil
	}
	store, err := s3.New(s3.Options{
		Endpoint: config.S3Endpoint, AccessKey: config.S3AccessKey, SecretKey: config.S3SecretKey, Bucket: config.S3Bucket,
	})
	if err != nil {
		return nil, err
	}
	service := packages.New(store, packages.Options{
		Limits: archive.Limits{MaxBytes: config.MaxPackageBytes, MaxEntries: config.MaxPackageFiles},
	})
	grpcapi.RegisterPackages(server, service)

	there, swept := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(swept)
		if store.Wait(ctx, process.Logger) != nil {
			return // only ctx ends the wait
		}
		close(there)
		sweep(ctx, process.Logger, service)
	}()
	process.OnStop("packages", stopLimit, func(ctx context.Context) error {
		select {
		case <-swept:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	})
	return func(ctx context.Context) error {
		select {
		case <-there:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}, nil
}

// sweep removes at once what an earlier process left behind, and then now and then what nobody needs, until ctx ends.
func sweep(ctx context.Context, logger *zap.Logger, service *packages.Service) {
	again := time.NewTicker(sweepEvery)
	defer again.Stop()
	for age := time.Duration(0); ; age = abandonedAfter {
		if err := service.Sweep(ctx, age); err != nil && ctx.Err() == nil {
			logger.Warn("the packages' bucket could not be swept", zap.Error(err))
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return
		}
	}
}
