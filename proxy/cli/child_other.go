//go:build !unix

package cli

import "os"

// childSignals is the one signal that there is: Ctrl-C. It does not end us
// before the command.
var childSignals = []os.Signal{os.Interrupt}

// reachesChildren is true: a console sends Ctrl-C to everyone at it.
func reachesChildren(os.Signal) bool { return true }

func exitCode(state *os.ProcessState) int { return state.ExitCode() }
