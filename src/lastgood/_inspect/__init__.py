"""The weights of a checkpoint as arrays, without Keras: to inspect, to compare, to export and to average."""
