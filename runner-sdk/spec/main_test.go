package spec_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/stretchr/testify/require"

	"github.com/konstellation-io/kre/kit/ports"
)

// Where they are set, this binary is a broker instead of a test: one that is to be restarted has to be a process of its
// own, since what ends a broker within a process leaves parts of it running.
const (
	brokerFolder = "CONFORMANCE_BROKER_FOLDER"
	brokerPort   = "CONFORMANCE_BROKER_PORT"
)

// brokerConfig is a file in the broker's folder; where it is, it says what the broker does.
const brokerConfig = "nats.conf"

func TestMain(m *testing.M) {
	if folder := os.Getenv(brokerFolder); folder != "" {
		os.Exit(runBroker(folder, os.Getenv(brokerPort)))
	}
	code := m.Run()
	if folder, _ := binaries(); folder != "" {
		_ = os.RemoveAll(folder)
	}
	os.Exit(code)
}

func runBroker(folder, port string) int {
	number, err := strconv.Atoi(port)
	if err != nil {
		fmt.Fprintln(os.Stderr, "the broker's port:", err)
		return 1
	}
	options := &server.Options{
		JetStream: true, StoreDir: folder,
	}
	if file := filepath.Join(folder, brokerConfig); exists(file) {
		if options, err = server.ProcessConfigFile(file); err != nil {
			fmt.Fprintln(os.Stderr, "reading the broker's configuration:", err)
			return 1
		}
	}
	options.Host, options.Port, options.NoLog = "127.0.0.1", number, true
	s, err := server.NewServer(options)
	if err != nil {
		fmt.Fprintln(os.Stderr, "making the broker:", err)
		return 1
	}
	go endWithParent()
	s.Start() // from now on SIGTERM ends it in good order
	s.WaitForShutdown()
	return 0
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// endWithParent ends the broker when the test that started it is gone without having ended it.
func endWithParent() {
	parent := os.Getppid()
	for os.Getppid() == parent {
		time.Sleep(time.Second)
	}
	os.Exit(1)
}

// freePort returns a port that nobody listens on.
func freePort(t *testing.T) int {
	t.Helper()
	port, err := ports.Pick(nil)
	require.NoError(t, err)
	return port
}
