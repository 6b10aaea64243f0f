// Package libexec finds the programs that kre starts.
package libexec

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// Folder is the absolute path of the folder that holds the programs: KRE_LIBEXEC, else the one of kre itself. The error
// names the first that is not there.
func Folder(programs ...string) (string, error) {
	folder := os.Getenv("KRE_LIBEXEC")
	if folder == "" {
		self, err := os.Executable()
		if err != nil {
			return "", err
		}
		if self, err = filepath.EvalSymlinks(self); err != nil {
			return "", err
		}
		folder = filepath.Dir(self)
	}
	folder, err := filepath.Abs(folder)
	if err != nil {
		return "", err
	}
	for _, name := range programs {
		if _, err := os.Stat(filepath.Join(folder, name)); errors.Is(err, os.ErrNotExist) {
			return "", fmt.Errorf("cannot find %s in %s: it is built with kre (make build); KRE_LIBEXEC names another folder", name, folder)
		}
	}
	return folder, nil
}
