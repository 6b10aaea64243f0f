package instance

import "github.com/prometheus/client_golang/prometheus"

// loads are the metrics of what waits at each workflow, and of those who did not wait or waited in vain.
type loads struct{ i *Instance }

var (
	descWaiting    = desc("waiting", "Calls that wait for their answers.")
	descOldest     = desc("oldest_seconds", "How long the oldest call that waits has waited.")
	descRefused    = desc("refused_total", "Calls that were refused because they could not have been answered in time, or because too many wait.")
	descUnanswered = desc("unanswered_total", "Calls whose time was over before they were answered.")
)

func desc(name, help string) *prometheus.Desc {
	return prometheus.NewDesc("kre_entrypoint_"+name, help, []string{"workflow"}, nil)
}

// Describe implements prometheus.Collector.
func (l loads) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{descWaiting, descOldest, descRefused, descUnanswered} {
		to <- d
	}
}

// Collect implements prometheus.Collector.
func (l loads) Collect(to chan<- prometheus.Metric) {
	for _, workflow := range l.i.options.Config.Workflows {
		load := l.i.exchange.Load(workflow.Subject)
		gauge := func(d *prometheus.Desc, kind prometheus.ValueType, value float64) {
			to <- prometheus.MustNewConstMetric(d, kind, value, workflow.Name)
		}
		gauge(descWaiting, prometheus.GaugeValue, float64(load.Waiting))
		gauge(descOldest, prometheus.GaugeValue, load.Oldest.Seconds())
		gauge(descRefused, prometheus.CounterValue, float64(load.Refused))
		gauge(descUnanswered, prometheus.CounterValue, float64(load.Unanswered))
	}
}
