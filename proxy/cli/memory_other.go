//go:build !linux

package cli

// releaseProgram does nothing where we do not know how.
func releaseProgram() {}
