// Package load makes calls, and says how they went. What is counted in thousands a second
// comes from wrk and h2load, which cost less than a client of ours would.
package load
