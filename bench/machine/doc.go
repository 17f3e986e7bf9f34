// Package machine reads what Linux knows of processes and of itself: processor time,
// memory, and what else is running.
package machine
