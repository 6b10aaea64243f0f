package archive

import (
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/go-git/go-git/v5/plumbing/format/gitignore"
)

// Source is a file that goes into a package.
type Source struct {
	Path       string // in the package, slash-separated
	Name       string // of the file on this machine that holds the content
	Executable bool
	Size       int64 // bytes
}

// LeftOut is a file or folder of a project that does not go into its package.
type LeftOut struct {
	Path   string `json:"path"` // slash-separated below the project's root; a folder's ends in a slash
	Reason string `json:"reason"`
}

// Scan lists the files of a project that go into its package, sorted by path, and what does not: what the file
// .krtignore at its root lists, in the syntax of .gitignore, and always
//
//   - version control: .git, .hg, .svn
//   - environments: .env, .env.* (but not .env.example, .sample, .template, .dist), .envrc, .venv, and every folder
//     that holds a pyvenv.cfg
//   - keys and passwords: *.key, *.p12, *.pfx, *.jks, *.keystore, *.kdbx, *.creds, *.nk, a *.pem that holds a private
//     key, id_rsa and its like, .netrc, .pgpass, .pypirc
//   - caches: __pycache__, *.pyc, *.pyo, .pytest_cache, .mypy_cache, .ruff_cache, .hypothesis, .ipynb_checkpoints,
//     .tox, .nox, .cache, .coverage, .DS_Store
//   - *.krt at the root, and .kre, where kre keeps what it makes
//   - devices, pipes and sockets
//
// A link inside the project counts as what it points to; one that leaves the project is refused.
func Scan(project string) ([]Source, []LeftOut, error) {
	root, err := filepath.Abs(project)
	if err == nil {
		root, err = filepath.EvalSymlinks(root)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("read the project: %w", err)
	}
	ignore, err := readIgnore(root)
	if err != nil {
		return nil, nil, err
	}
	s := scanner{root: root, ignore: ignore}
	if err := s.folder("", root); err != nil {
		return nil, nil, fmt.Errorf("read the project: %w", err)
	}
	slices.SortFunc(s.sources, func(a, b Source) int { return strings.Compare(a.Path, b.Path) })
	return s.sources, s.left, nil
}

type scanner struct {
	root    string // absolute, without links
	ignore  gitignore.Matcher
	within  []string // the folders that are being read, outermost first, without links
	sources []Source
	left    []LeftOut
}

func (s *scanner) folder(p, name string) error {
	entries, err := os.ReadDir(name)
	if err != nil {
		return err
	}
	s.within = append(s.within, name)
	defer func() { s.within = s.within[:len(s.within)-1] }()
	for _, entry := range entries {
		if err := s.entry(path.Join(p, entry.Name()), filepath.Join(name, entry.Name())); err != nil {
			return err
		}
	}
	return nil
}

// entry takes in what lies at name, which goes to p in the package.
func (s *scanner) entry(p, name string) error {
	info, err := os.Lstat(name)
	if err != nil {
		return err
	}
	reason := s.leave(p, info.IsDir())
	if reason == "" && info.Mode()&fs.ModeSymlink != 0 {
		target, err := s.follow(p, name)
		if err != nil {
			return err
		}
		if info, err = os.Stat(target); err != nil {
			return err
		}
		if reason = s.leaveTarget(target); reason == "" {
			reason = s.leave(p, info.IsDir())
		}
		name = target
	}
	if reason == "" {
		reason, err = s.leaveContent(name, info)
		if err != nil {
			return err
		}
	}
	switch {
	case reason != "":
		if info.IsDir() {
			p += "/"
		}
		s.left = append(s.left, LeftOut{Path: p, Reason: reason})
	case info.IsDir():
		return s.folder(p, name)
	default:
		s.sources = append(s.sources, Source{
			Path: p, Name: name, Executable: info.Mode()&0o111 != 0, Size: info.Size(),
		})
	}
	return nil
}

// leave answers why what is called p is left out, or "".
func (s *scanner) leave(p string, folder bool) string {
	if reason := leftOut(p); reason != "" {
		return reason
	}
	if s.ignore.Match(strings.Split(p, "/"), folder) {
		return reasonIgnored
	}
	return ""
}

// leaveTarget answers why what a link points to is left out: a link must not bring in by another name what is left out
// by its own.
func (s *scanner) leaveTarget(target string) string {
	below, err := filepath.Rel(s.root, target)
	if err != nil {
		return ""
	}
	p := ""
	for part := range strings.SplitSeq(filepath.ToSlash(below), "/") {
		p = path.Join(p, part)
		if reason := leftOut(p); reason != "" {
			return reason
		}
	}
	return ""
}

// leaveContent answers why what lies at name is left out for what it is.
func (s *scanner) leaveContent(name string, info fs.FileInfo) (string, error) {
	switch {
	case info.IsDir():
		if _, err := os.Lstat(filepath.Join(name, "pyvenv.cfg")); err == nil {
			return reasonEnvironment, nil
		}
		return "", nil
	case !info.Mode().IsRegular():
		return reasonSpecial, nil
	}
	secret, err := holdsPrivateKey(name)
	if err != nil || !secret {
		return "", err
	}
	return reasonKey, nil
}

// follow answers where the link at name leads, without further links.
func (s *scanner) follow(p, name string) (string, error) {
	shown, err := os.Readlink(name)
	if err != nil {
		return "", err
	}
	target, err := filepath.EvalSymlinks(name)
	if err != nil {
		return "", refuse(ErrLink, p, "link %q points to %q, which cannot be found: mend it, or list it in %s", p, shown, IgnoreFile)
	}
	if below, err := filepath.Rel(s.root, target); err != nil || !filepath.IsLocal(below) {
		return "", refuse(ErrLink, p,
			"link %q leaves the project: it points to %q. Put what is meant into the project, or list the link in %s", p, shown, IgnoreFile)
	}
	if slices.Contains(s.within, target) {
		return "", refuse(ErrLink, p, "link %q points to %q, a folder that holds it: list it in %s", p, shown, IgnoreFile)
	}
	return target, nil
}
