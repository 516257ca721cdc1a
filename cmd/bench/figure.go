package main

import "slices"

// Figure is what is told of several tries.
type Figure struct {
	Median float64 `json:"median"`
	Max    float64 `json:"max"`
}

func figure(values []float64) Figure {
	if len(values) == 0 {
		return Figure{}
	}
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	return Figure{Median: (sorted[(n-1)/2] + sorted[n/2]) / 2, Max: sorted[n-1]}
}

// of takes one figure out of every try.
func of[T any](tries []T, value func(T) float64) Figure {
	values := make([]float64, len(tries))
	for i, t := range tries {
		values[i] = value(t)
	}
	return figure(values)
}

// ratio is how many times a is b; 0 where that has no meaning.
func ratio(a, b float64) float64 {
	if b <= 0 {
		return 0
	}
	return a / b
}
