package archive

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/go-git/go-git/v5/plumbing/format/gitignore"
)

// IgnoreFile is the name, at a project's root, of the file that lists in the syntax of .gitignore what is not packed.
const IgnoreFile = ".krtignore"

// readIgnore reads the project's ignore file, if there is one.
func readIgnore(root string) (gitignore.Matcher, error) {
	data, err := os.ReadFile(filepath.Join(root, IgnoreFile))
	if errors.Is(err, fs.ErrNotExist) {
		return gitignore.NewMatcher(nil), nil
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", IgnoreFile, err)
	}
	var patterns []gitignore.Pattern
	lines := bufio.NewScanner(bytes.NewReader(data))
	for lines.Scan() {
		line := lines.Text()
		if strings.TrimSpace(line) == "" || strings.HasPrefix(line, "#") {
			continue
		}
		patterns = append(patterns, gitignore.ParsePattern(line, nil))
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("read %s: %w", IgnoreFile, err)
	}
	return gitignore.NewMatcher(patterns), nil
}

// Why [Scan] leaves something out.
const (
	reasonIgnored     = "listed in " + IgnoreFile
	reasonVCS         = "version control"
	reasonEnvironment = "environment"
	reasonCache       = "cache"
	reasonKey         = "key or password"
	reasonPackage     = "another package"
	reasonKre         = "kre's own"
	reasonSpecial     = "neither file nor folder"
)

// leftOut answers why what lies at p is never packed, whatever the ignore file says, or "". The list is short on
// purpose: what is missing here can be written into the ignore file, what is too much cannot be had back.
func leftOut(p string) string {
	base := path.Base(p)
	switch base {
	case ".git", ".hg", ".svn":
		return reasonVCS
	case ".env", ".envrc", ".venv":
		return reasonEnvironment
	case ".env.example", ".env.sample", ".env.template", ".env.dist":
		return ""
	case "__pycache__", ".pytest_cache", ".mypy_cache", ".ruff_cache", ".hypothesis", ".ipynb_checkpoints",
		".tox", ".nox", ".cache", ".coverage", ".DS_Store":
		return reasonCache
	case "id_rsa", "id_dsa", "id_ecdsa", "id_ed25519", ".netrc", ".pgpass", ".pypirc":
		return reasonKey
	}
	switch strings.ToLower(path.Ext(base)) {
	case ".pyc", ".pyo":
		return reasonCache
	case ".key", ".p12", ".pfx", ".jks", ".keystore", ".kdbx", ".creds", ".nk":
		return reasonKey
	case ".krt":
		if p == base {
			return reasonPackage
		}
	case partialEnding:
		if strings.HasPrefix(base, ".") {
			return reasonPackage
		}
	}
	switch {
	case strings.HasPrefix(base, ".env."):
		return reasonEnvironment
	case p == ".kre":
		return reasonKre
	}
	return ""
}

// holdsPrivateKey reports whether the file is a private key in PEM; certificates are packed.
func holdsPrivateKey(name string) (bool, error) {
	if !strings.EqualFold(filepath.Ext(name), ".pem") {
		return false, nil
	}
	in, err := os.Open(name)
	if err != nil {
		return false, err
	}
	defer func() { _ = in.Close() }() // only read
	data, err := io.ReadAll(io.LimitReader(in, 1<<20))
	if err != nil {
		return false, err
	}
	return bytes.Contains(data, []byte("PRIVATE KEY-----")), nil
}
