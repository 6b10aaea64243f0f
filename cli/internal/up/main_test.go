package up

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/konstellation-io/kre/host/launch"
)

// programs is the folder of kre, built for these tests, and of links to the services, which the build has put into KRE_BIN.
var programs string

func TestMain(m *testing.M) {
	code := 1
	defer func() { os.Exit(code) }()
	dir, err := os.MkdirTemp("", "kre-up-test-")
	if err == nil {
		defer os.RemoveAll(dir) //nolint:errcheck // the system's folder for such things
		programs, err = dir, gather(dir)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return
	}
	code = m.Run()
}

func gather(dir string) error {
	if out, err := exec.Command("go", "build", "-o", dir+string(filepath.Separator), "../../cmd/kre").CombinedOutput(); err != nil {
		return fmt.Errorf("build kre: %w\n%s", err, out)
	}
	built := os.Getenv("KRE_BIN")
	if built == "" {
		built = "../../../bin"
	}
	built, err := filepath.Abs(built)
	if err != nil {
		return err
	}
	for _, name := range []string{adminAPI, k8sManager, "runtime-api", "entrypoint", launch.RunnerName} {
		if _, err := os.Stat(filepath.Join(built, name)); err != nil {
			return fmt.Errorf("%w: make build puts the programs there", err)
		}
		if err := os.Symlink(filepath.Join(built, name), filepath.Join(dir, name)); err != nil {
			return err
		}
	}
	return nil
}
