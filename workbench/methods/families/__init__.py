"""The five families of the survey talk, one module each: `STRATEGIES` maps a strategy's name to its `Method`.

Source: Hou: Techniques for deep fusing multimodal data (talk, 2024), after Zhao, Zhang, Geng: Deep multimodal data fusion. ACM Computing Surveys
56(9), 2024. All strategies of a family share their encoders, so that they differ in the fusion alone.
"""
