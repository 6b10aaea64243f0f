package launch

import "strings"

// Inherited picks from an environment (KEY=VALUE pairs) the variables that a process needs to run as its author's other
// programs do. What else is there may be secret, or differ between two terminals.
func Inherited(environ []string) map[string]string {
	env := make(map[string]string)
	for _, pair := range environ {
		if name, value, ok := strings.Cut(pair, "="); ok && passedOn(name) {
			env[name] = value
		}
	}
	return env
}

// Telemetry picks from an environment (KEY=VALUE pairs) what tells programs of the platform where their traces go. It may
// hold the password of that place: nodes do not get it.
func Telemetry(environ []string) map[string]string {
	env := make(map[string]string)
	for _, pair := range environ {
		if name, value, ok := strings.Cut(pair, "="); ok && strings.HasPrefix(name, "OTEL_") {
			env[name] = value
		}
	}
	return env
}

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
