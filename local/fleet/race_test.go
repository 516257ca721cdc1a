//go:build race

package fleet

const slow = true
