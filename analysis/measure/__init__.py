"""What is done to a trained network: a module and a declared table of the run for each measurement.

A measurement is a row of `registry.MEASUREMENTS`, a class of settings in `settings`, and a module with

    measure(network: Trained, settings) -> pandas.DataFrame

`python -m analysis.measure NAME --run FOLDER` writes FOLDER/measured/NAME.parquet; a run's file asks for measurements
under `measure`, and the workflow makes them once the run is trained.
"""
