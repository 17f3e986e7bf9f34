// Package results finds out which endpoints answer with empty lists that used to have
// something in them: a filter that broke, a right that was taken away, a query against the
// wrong account. Their status is 200, and nothing is an error.
//
//	stale(results(retry(…)))
//
// [Wrap] looks at answers to GET with status 200 whose body is JSON, plain or by gzip, while
// they are read: it delays nothing, changes nothing, and copies no more than their first
// 16 KiB. What it is told to look for is a list at some path, and only whether there is
// something in it. A body that does not show that by then is not counted.
//
// A [Watch] counts for each endpoint. It has become empty when
//
//	of at least 50 answers before at most a fifth were empty,
//	the latest 20 or more are all empty, and
//	these are more than twice as many as were empty in a row in the last 8 days
//
// and it is not any more with the first answer that has something. The last condition
// learns of lists that are empty every night, by the first night.
package results
