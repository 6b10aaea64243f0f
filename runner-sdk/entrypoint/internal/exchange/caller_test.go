package exchange

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestALabelIsShortAndPlain(t *testing.T) {
	for label, valid := range map[string]bool{
		"order-17": true, "A.b:c/d+e=f@g_h": true, strings.Repeat("x", 128): true,
		strings.Repeat("x", 129): false, "two words": false, "größe": false, "line\nbreak": false, `quote"`: false,
	} {
		require.Equal(t, valid, validLabel(label), label)
	}
}

func TestATraceparentIsAsW3CHasIt(t *testing.T) {
	const trace, span = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
	for parent, valid := range map[string]bool{
		"00-" + trace + "-" + span + "-01":                    true,
		"01-" + trace + "-" + span + "-01-later":              true,
		"00-" + trace + "-" + span + "-01-later":              false,
		"01-" + trace + "-" + span + "-01later":               false,
		"ff-" + trace + "-" + span + "-01":                    false,
		"00-" + strings.Repeat("0", 32) + "-" + span + "-01":  false,
		"00-" + trace + "-" + strings.Repeat("0", 16) + "-01": false,
		"00-" + strings.ToUpper(trace) + "-" + span + "-01":   false,
		"00-" + trace[1:] + "-" + span + "0-01":               false,
		"00_" + trace + "-" + span + "-01":                    false,
		"":                                                    false,
		"00-" + trace + "-" + span + "-0x":                    false,
		"01-" + trace + "-" + span + "-01-" + "\x01":          false,
	} {
		require.Equal(t, valid, validTraceparent(parent), parent)
	}
}
