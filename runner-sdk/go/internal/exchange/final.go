package exchange

import "errors"

// Final returns err marked as one that another attempt cannot cure. Of nil it makes nil.
func Final(err error) error {
	if err == nil {
		return nil
	}
	return &final{err}
}

// IsFinal reports whether err, or an error it wraps, was marked by Final.
func IsFinal(err error) bool {
	_, ok := errors.AsType[*final](err)
	return ok
}

type final struct{ err error }

func (f *final) Error() string { return f.err.Error() }

func (f *final) Unwrap() error { return f.err }
