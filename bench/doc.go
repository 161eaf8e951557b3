// Package bench holds measurements of the whole program beside its peers: both
// run in the same benchmark, against the same server, in turn, and the figure
// is their ratio. Machines are shared and noisy: absolute times mean little.
//
//	go test ./bench -run '^$' -bench . -benchtime 5x -timeout 30m
package bench
