// Package prose writes values as people read them.
package prose

import "strconv"

// Thousands writes a number that is not negative with a comma before every third digit from the right.
func Thousands(n int) string {
	text := strconv.Itoa(n)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}
