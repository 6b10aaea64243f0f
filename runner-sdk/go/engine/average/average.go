// Package average follows a figure that changes, such as how long a handler takes.
package average

// What is more shows at once, so that work is left to others; what is less has to repeat.
const (
	upBy   = 2
	downBy = 8
)

// Of is an average of what was seen lately. Its zero value has seen nothing.
type Of[N ~int | ~int64] struct {
	value N
	known bool
}

// See takes note of one more.
func (a *Of[N]) See(n N) {
	switch {
	case !a.known:
		a.value, a.known = n, true
	case n > a.value:
		a.value += (n - a.value) / upBy
	default:
		a.value += (n - a.value) / downBy
	}
}

// Value is the average, 0 before anything was seen.
func (a *Of[N]) Value() N { return a.value }
