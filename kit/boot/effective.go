package boot

import (
	"fmt"
	"net/url"
	"strings"

	"github.com/alecthomas/kong"
)

// hidden stands for a secret that is set; one that is not set is shown empty.
const hidden = "(set)"

// effective returns the configuration after parsing, by name of flag, without its secrets.
func effective(model *kong.Application) map[string]any {
	shown := make(map[string]any, len(model.Flags))
	for _, flag := range model.Flags {
		if flag.Name != "help" && flag.Name != "probe" {
			shown[flag.Name] = visible(flag.Value)
		}
	}
	return shown
}

func visible(value *kong.Value) any {
	set := !value.Target.IsZero()
	switch {
	case value.Tag.Has("secret") && !set:
		return ""
	case value.Tag.Get("secret") == "url":
		return withoutUser(fmt.Sprint(value.Target.Interface()))
	case value.Tag.Has("secret"):
		return hidden
	}
	if text, ok := value.Target.Interface().(fmt.Stringer); ok { // a duration, say
		return text.String()
	}
	return value.Target.Interface()
}

// withoutUser leaves user, password and parameters out of a list of URLs separated by commas.
func withoutUser(list string) string {
	urls := strings.Split(list, ",")
	for i, one := range urls {
		u, err := url.Parse(strings.TrimSpace(one))
		if err != nil || u.Host == "" {
			urls[i] = hidden
			continue
		}
		urls[i] = u.Scheme + "://" + u.Host
	}
	return strings.Join(urls, ",")
}
