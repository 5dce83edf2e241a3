"""What only a person knows about an experiment, for the reporting standards of journals."""

from __future__ import annotations

from cellvision.component import Settings


class About(Settings):
    """Table ``[about]`` of an experiment: answers for checklists that no program can give.

    Nothing here changes a training. The reporter ``standards`` fills these texts into DOME,
    REFORMS, CLAIM and the model card, and lists what is still open.

    Examples
    --------
    >>> import cellvision as cv
    >>> cv.About(data_source="HeLa cells, imaged in May 2024").data_source
    'HeLa cells, imaged in May 2024'
    """

    title: str | None = None
    """Title of the study."""

    authors: tuple[str, ...] = ()
    """Authors."""

    journal: str | None = None
    """Journal or preprint server of the publication."""

    year: str | None = None
    """Its year."""

    doi: str | None = None
    """Its DOI, without ``https://doi.org/``."""

    contact: str | None = None
    """Whom to ask."""

    population: str | None = None
    """Cells, tissue, organisms or people about which the study makes a claim."""

    motivation: str | None = None
    """Why this population and why machine learning."""

    question: str | None = None
    """Aim, objective and hypothesis."""

    design: str | None = None
    """Whether images were acquired for this study or before, and what the study is to show."""

    data_source: str | None = None
    """Where the images come from: laboratory, cell line, dates, earlier publications."""

    acquisition: str | None = None
    """Microscope, objective, stain, exposure, and how cells were cultured and treated."""

    eligibility: str | None = None
    """What was included and excluded before the images reached cellvision, and why."""

    missing_data: str | None = None
    """How much is missing, and how that was handled."""

    deidentification: str | None = None
    """How people behind the samples were made unidentifiable."""

    ethics: str | None = None
    """Approval and consent."""

    demographics: str | None = None
    """Who the donors or patients are, by split."""

    sample_size: str | None = None
    """How the number of groups was chosen (``cellvision plan``)."""

    representativeness: str | None = None
    """Why the images represent the population."""

    labels: str | None = None
    """How the class of an image was determined, and by whom."""

    label_rationale: str | None = None
    """Why this is the reference."""

    annotators: str | None = None
    """Their number, training and agreement."""

    model_rationale: str | None = None
    """Why this kind of network, and how its settings were chosen."""

    network_is_new: bool | None = None
    """Whether the kind of network is new, so that no publication describes it."""

    compared_with_published: bool | None = None
    """Whether published methods were tested on the same images."""

    data_availability: str | None = None
    """Where images and splits can be had, with license."""

    data_public: bool | None = None
    """Whether the images are public."""

    data_license: str | None = None
    """License of the images."""

    data_reused: bool | None = None
    """Whether published work has used the images before."""

    predictions_public: bool | None = None
    """Whether the predictions (``predictions.csv``) are public."""

    code_availability: str | None = None
    """Where code and experiment can be had, with license."""

    code_public: bool | None = None
    """Whether code and experiment file are public."""

    code_license: str | None = None
    """License of the code."""

    model_availability: str | None = None
    """Where the trained networks can be had, with license."""

    model_public: bool | None = None
    """Whether the trained networks are public."""

    model_license: str | None = None
    """License of the trained networks."""

    intended_use: str | None = None
    """What the network is for, and by whom it is to be used."""

    out_of_scope: str | None = None
    """What it is not for."""

    external_validation: str | None = None
    """Results on images of another laboratory, plate or microscope."""

    limitations: str | None = None
    """What limits the study."""

    protocol: str | None = None
    """Where the full protocol is, and registration of the study if any."""

    funding: str | None = None
    """Funders and their role."""

    competing_interests: str | None = None
    """Competing interests."""
