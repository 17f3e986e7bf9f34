package policy

import "outrider/policy/answer"

// A quiet failure is an answer whose status says that all is well, and that says elsewhere
// that it is not. It goes to the client as it came: what it means, an answer table says.

// Quiet says what the answer to a call means, if it is a quiet failure: "failed: ok: false",
// in words of ours and of the configuration; "": it is none, or there was no answer.
func (c *Call) Quiet() string {
	if c == nil {
		return ""
	}
	f := c.notes.meaning.Load()
	if !isQuiet(f) {
		return ""
	}
	return f.String()
}

// isQuiet reports whether f is a quiet failure.
func isQuiet(f *answer.Finding) bool { return f != nil && f.Quiet && f.Meaning != "" }
