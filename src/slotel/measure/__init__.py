"""What happened: series, exact counts, histograms and windows. No OpenTelemetry here."""
