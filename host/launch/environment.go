package launch

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Inherited picks from an environment (KEY=VALUE pairs) the variables that a process needs to run as its author's other
// programs do, and those that somebody has asked for by their names. What else is there may be secret, or differ between two
// terminals: the address of a proxy often has a password in it.
func Inherited(environ []string, asked ...string) map[string]string {
	env := make(map[string]string)
	for _, pair := range environ {
		if name, value, ok := strings.Cut(pair, "="); ok && (passedOn(name) || slices.Contains(asked, name)) {
			env[name] = value
		}
	}
	return env
}

var variable = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// CheckAsked tells what is wrong with names of variables that are to be passed on.
func CheckAsked(asked []string) error {
	for _, name := range asked {
		switch {
		case !variable.MatchString(name):
			return fmt.Errorf("--pass-env %q: want the name of a variable, e.g. HTTPS_PROXY", name)
		case strings.HasPrefix(name, "KRE_") || strings.HasPrefix(name, "KRT_"):
			return fmt.Errorf("--pass-env %s: names that begin with KRE_ or KRT_ are the platform's", name)
		}
	}
	return nil
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
