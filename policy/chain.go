package policy

import "net/http"

// A Stage is one named decorator of a chain.
type Stage struct {
	Name string
	Wrap func(next http.RoundTripper) http.RoundTripper
}

// A Chain is a list of stages, outermost first.
type Chain []Stage

// Wrap puts the chain around a transport: the first stage sees a call first.
func (c Chain) Wrap(transport http.RoundTripper) http.RoundTripper {
	for i := len(c) - 1; i >= 0; i-- {
		transport = c[i].Wrap(transport)
	}
	return transport
}

// Names lists the stages, outermost first.
func (c Chain) Names() []string {
	names := make([]string, len(c))
	for i, stage := range c {
		names[i] = stage.Name
	}
	return names
}
