package store

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestRecordsAreCutIntoBatchesTheBrokerTakes(t *testing.T) {
	tests := []struct {
		name  string
		count int
		bytes int
		want  []int
	}{
		{"one", 1, 10, []int{1}},
		{"as many as a batch holds", 500, 10, []int{500}},
		{"one more", 501, 10, []int{500, 1}},
		{"large ones by their size", 5, 3 << 20, []int{2, 2, 1}},
		{"one larger than a batch by itself", 2, 9 << 20, []int{1, 1}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			records := make([]Record, test.count)
			for i := range records {
				records[i].Body = make([]byte, test.bytes)
			}
			var sizes []int
			for _, batch := range split(records) {
				sizes = append(sizes, len(batch))
			}
			require.Equal(t, test.want, sizes)
		})
	}
}
