package exchange

import "errors"

// Final returns err marked as one that another attempt cannot cure. Of nil it makes nil.
func Final(err error) error { return Coded(err, 0) }

// Coded is Final for a mistake of the caller's, who gets the error with that code of google.rpc.Code. INTERNAL, and what is no
// code, is none of the caller's.
func Coded(err error, code int32) error {
	const internal, last = 13, 16
	if err == nil {
		return nil
	}
	if code < 0 || code > last || code == internal {
		code = 0
	}
	return &final{err, code}
}

// IsFinal reports whether err, or an error it wraps, was marked by Final or Coded.
func IsFinal(err error) bool {
	_, ok := errors.AsType[*final](err)
	return ok
}

// CodeOf returns the code that err, or an error it wraps, was given by Coded, or 0.
func CodeOf(err error) int32 {
	if f, ok := errors.AsType[*final](err); ok {
		return f.code
	}
	return 0
}

type final struct {
	err  error
	code int32
}

func (f *final) Error() string { return f.err.Error() }

func (f *final) Unwrap() error { return f.err }
