package framing

// CheckTarget holds an origin-form target, or *, to what this package lets
// through in HTTP/1 (RFC 9113 section 8.3.1 asks the same of :path). It is for
// requests that no Scanner has seen: a target that HTTP/2 carries may go
// out over HTTP/1.1, where a space in it would be the end of it.
func CheckTarget(to string) *Error {
	b := []byte(to)
	switch {
	case to == "*":
		return nil
	case len(b) == 0 || b[0] != '/':
		return errForm
	case !all(b, target):
		return errTarget
	}
	return checkPath(b)
}
