package run

import (
	"maps"
	"os"
	"path/filepath"
	"strings"
)

// passedOn are the variables of our own environment that a process needs to run as its author's other programs do. What
// else is there may be secret, or differ between two terminals.
func passedOn(name string) bool {
	switch name {
	case "PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "TZ", "TMPDIR", "TERM", "COLORTERM", "NO_COLOR",
		"SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH",
		"http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY",
		"GOTRACEBACK", "GODEBUG", "GORACE", "GOMAXPROCS":
		return true
	}
	for _, prefix := range []string{"LC_", "XDG_", "CUDA_", "NVIDIA_", "OMP_", "OPENBLAS_", "MKL_"} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}

func cleanEnv() map[string]string {
	env := make(map[string]string)
	for _, pair := range os.Environ() {
		if name, value, ok := strings.Cut(pair, "="); ok && passedOn(name) {
			env[name] = value
		}
	}
	return env
}

// platformEnv is the environment of kre's own programs.
func (s *session) platformEnv() map[string]string {
	env := cleanEnv()
	env["KRE_NATS_URL"] = s.broker.URL()
	env["KRE_LOG_FORMAT"] = "json"
	env["KRE_LOG_LEVEL"] = "warn"
	if s.verbose {
		env["KRE_LOG_LEVEL"] = "info"
	}
	return env
}

// nodeEnv is the environment of a node: what it declares comes before what is passed on, and the platform's own last.
func (s *session) nodeEnv(n node, program program) map[string]string {
	env := cleanEnv()
	if program.bin != "" {
		env["PATH"] = program.bin + string(filepath.ListSeparator) + env["PATH"]
	}
	if n.Python() {
		env["PYTHONUNBUFFERED"] = "1" // what it prints shows at once
		env["PYTHONSAFEPATH"] = "1"   // a user's logging.py or kre/ does not stand in for the real one before the runner is up
	}
	maps.Copy(env, n.Env)
	declared := s.current.manifest.ConfigOf(n.Node)
	for _, name := range declared.Variables {
		env[name] = s.current.values.variables[name]
	}
	for _, name := range declared.Files {
		env[name] = s.current.values.files[name]
	}
	env["KRE_NATS_URL"] = s.broker.URL()
	env["KRE_PACKAGE"] = s.source.root
	env["KRE_LOG_FORMAT"] = "json"
	return env
}
